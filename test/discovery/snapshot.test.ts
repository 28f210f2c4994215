import { describe, expect, it } from 'vitest';
import type { Runner } from '../../src/discovery/offers.ts';
import {
  type DiscoveryFilter,
  type HeardOffer,
  formatAnswer,
  mergeOffers,
} from '../../src/discovery/snapshot.ts';

const everything: DiscoveryFilter = { caps: [], apps: [], gpus: [] };

function offer(address: string, parts: Partial<HeardOffer> = {}): HeardOffer {
  return {
    address,
    capabilities: [],
    runners: [],
    heardAt: Date.UTC(2026, 10, 26, 12),
    isOwn: true,
    ...parts,
  };
}

function runner(url: string, app = 'one/app', gpu = '', terms = app): Runner {
  return { url, app, gpu, terms, json: JSON.stringify({ url, app, terms }) };
}

function answer(offers: readonly HeardOffer[], filter: Partial<DiscoveryFilter> = {}) {
  const text = formatAnswer(mergeOffers(offers).snapshot, { ...everything, ...filter });
  return JSON.parse(text) as {
    address: string;
    score: number;
    capabilities: string[];
    runners?: { url: string; app: string; terms: string }[];
    last_seen: string;
  }[];
}

const lv2v = ['live-video-to-video/scope'];

describe('the answer', () => {
  it('is one JSON array with a line break, in the order of the keys that clients know', () => {
    const offers = [offer('https://a.example', { capabilities: lv2v })];
    expect(formatAnswer(mergeOffers(offers).snapshot, everything)).toBe(
      '[{"address":"https://a.example","score":1,"capabilities":["live-video-to-video/scope"],' +
        '"last_seen":"2026-11-26T12:00:00.000Z"}]\n',
    );
    expect(formatAnswer({ entries: [] }, everything)).toBe('[]\n');
  });

  it('unites what is said of one address, and tells the age of the oldest of it', () => {
    const later = Date.UTC(2026, 10, 26, 12, 1);
    const entries = answer([
      offer('https://a.example', { capabilities: ['b/m', 'a/m'], heardAt: later }),
      offer('https://a.example', { runners: [runner('https://r.example/1', 'z/app')] }),
      offer('https://a.example', { capabilities: ['a/m'], heardAt: later }),
    ]);
    expect(entries).toMatchObject([
      { capabilities: ['a/m', 'b/m', 'z/app'], last_seen: '2026-11-26T12:00:00.000Z' },
    ]);
    expect(entries[0]?.runners).toHaveLength(1);
  });

  it('leaves out addresses where nothing is offered', () => {
    expect(answer([offer('https://a.example'), offer('https://b.example')])).toEqual([]);
  });

  it('has the same order whoever answered first', () => {
    const offers = ['https://c.example', 'https://a.example', 'https://b.example'].map((address) =>
      offer(address, { capabilities: lv2v }),
    );
    const text = formatAnswer(mergeOffers(offers).snapshot, everything);
    expect(formatAnswer(mergeOffers(offers.toReversed()).snapshot, everything)).toBe(text);
  });

  it('believes an orchestrator rather than others about its own runners', () => {
    const url = 'https://r.example/1';
    const offers = [
      offer('https://a.example', { isOwn: false, runners: [runner(url, 'x', '', 'cheap')] }),
      offer('https://a.example', { runners: [runner(url, 'x', '', 'true')] }),
    ];
    expect(answer(offers)[0]?.runners?.map(({ terms }) => terms)).toEqual(['true']);
    expect(mergeOffers(offers).conflicts).toEqual([url]);
    expect(mergeOffers(offers.slice(0, 1)).conflicts).toEqual([]);
  });

  it('names at most 500 addresses and has at most 4 MiB, without the largest entries', () => {
    const small = Array.from({ length: 501 }, (_, index) =>
      offer(`https://${index}.example`, { capabilities: lv2v }),
    );
    const many = answer(small);
    expect(many).toHaveLength(500);
    const large = ['https://x.example', 'https://y.example'].map((address) =>
      offer(address, { runners: [runner('https://r.example/1', 'x'.repeat(700_000))] }),
    );
    const text = formatAnswer(mergeOffers([...large, ...small.slice(0, 10)]).snapshot, everything);
    expect(Buffer.byteLength(text)).toBeLessThan(4_194_304);
    const addresses = (JSON.parse(text) as { address: string }[]).map(({ address }) => address);
    expect(addresses).toHaveLength(11);
    expect(addresses).toContain('https://x.example');
  });
});

describe('a filter', () => {
  const offers = [
    offer('https://1.example', { capabilities: ['live-video-to-video/scope', 'llm/a'] }),
    offer('https://2.example', {
      capabilities: ['live-video-to-video/noop'],
      runners: [
        runner('https://r.example/1', 'x/echo', 'L40S'),
        runner('https://r.example/2', 'x/echo', 'H100'),
        runner('https://r.example/3', 'x/draw', 'L40S'),
      ],
    }),
    offer('https://3.example', { runners: [runner('https://r.example/4', 'x/draw')] }),
  ];
  const everyRunner = { 1: [], 2: [1, 2, 3], 3: [4] };

  it.each<[Partial<DiscoveryFilter>, Record<string, number[]>]>([
    [{}, everyRunner],
    [{ caps: ['live-video-to-video/scope'] }, { 1: [] }],
    [{ caps: ['live-video-to-video/scope', 'live-video-to-video/noop'] }, { 1: [], 2: [1, 2, 3] }],
    [{ caps: ['live-video-to-video'] }, {}],
    [{ caps: ['LLM/a'] }, {}],
    [{ caps: ['x/draw'] }, { 2: [1, 2, 3], 3: [4] }],
    [{ apps: ['x/echo'] }, { 2: [1, 2] }],
    [{ apps: ['x/echo', 'x/draw'] }, { 2: [1, 2, 3], 3: [4] }],
    [{ gpus: ['L40S'] }, { 2: [1, 3] }],
    [{ gpus: ['L40S', 'H100'] }, { 2: [1, 2, 3] }],
    [{ apps: ['x/draw'], gpus: ['L40S'] }, { 2: [3] }],
    [{ apps: ['x/draw'], gpus: ['H100'] }, {}],
    [{ caps: ['llm/a'], apps: ['x/echo'] }, {}],
    [{ caps: ['live-video-to-video/noop'], gpus: ['H100'] }, { 2: [2] }],
  ])('%j leaves %j', (filter, expected) => {
    const left = answer(offers, filter).map(({ address, runners = [] }) => [
      /\d/.exec(address)?.[0],
      runners.map(({ url }) => Number(/\d$/.exec(url)?.[0])),
    ]);
    expect(Object.fromEntries(left)).toEqual(expected);
  });
});
