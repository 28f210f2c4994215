import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { startPoller } from '../../src/discovery/poller.ts';
import { type DiscoverySnapshot, formatAnswer } from '../../src/discovery/snapshot.ts';
import { listSource } from '../../src/discovery/sources.ts';
import { type Crowd, isEverListed, startCrowd } from './fifty.ts';
import { createTestClient } from './orchestrators.ts';

let crowd: Crowd;
beforeAll(async () => {
  crowd = await startCrowd();
});
afterAll(() => crowd.close());

const everything = { caps: [], apps: [], gpus: [] };
const expectSoon = (assertion: () => void) =>
  vi.waitFor(assertion, { timeout: 60_000, interval: 20 });

it('of fifty orchestrators those are listed that answered, for as long as is allowed, and no others', async () => {
  expect(crowd.members).toHaveLength(50);
  const snapshots: DiscoverySnapshot[] = [];
  const outcomes = new Set<string>();
  const poller = startPoller({
    sources: [listSource(crowd.members.map(({ url }) => url))],
    client: await createTestClient({ timeoutMs: 2_000 }),
    extraNodes: 0,
    blocklist: [],
    refreshIntervalMs: 100,
    maxAgeMs: 3_600_000,
    publish: (snapshot) => snapshots.push(snapshot),
    observe: (part, outcome) => outcomes.add(`${part} ${outcome}`),
    log: () => undefined,
  });
  const flapping = setInterval(() => crowd.flap(), 400);
  try {
    const expected = crowd.members
      .filter(({ kind }) => isEverListed(kind))
      .map(({ address }) => address);
    const listed = () => snapshots.at(-1)?.entries.map(({ address }) => address) ?? [];
    // a renamed orchestrator's runners are at the address where it is asked
    const asked = crowd.members.filter(({ kind }) => kind === 'renamed').map(({ url }) => url);
    const all = [...expected, ...asked].toSorted();
    await expectSoon(() => expect(listed()).toEqual(all));
    const order = (entries: DiscoverySnapshot['entries']) => entries.map(({ address }) => address);

    await crowd.leave();
    const since = snapshots.length;
    await expectSoon(() => {
      expect(outcomes).toContain('terms unreachable');
      expect(snapshots.length).toBeGreaterThan(since + 5);
    });
    for (const { entries } of snapshots.slice(since)) expect(order(entries)).toEqual(all);
    const outcomeNames = [
      'address-refused',
      'answered',
      'malformed',
      'oversized',
      'status',
      'timed-out',
      'unreachable',
    ];
    const everyOutcome = outcomeNames.flatMap((outcome) => [
      `runners ${outcome}`,
      `terms ${outcome}`,
    ]);
    await expectSoon(() => expect([...outcomes].toSorted()).toEqual(everyOutcome.toSorted()));
    const text = formatAnswer(snapshots.at(-1) ?? { entries: [] }, everything);
    expect(JSON.parse(text)).toHaveLength(all.length);
  } finally {
    clearInterval(flapping);
    poller.close();
  }
});
