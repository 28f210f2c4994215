import { describe, expect, it } from 'vitest';
import { readRunnerDocument } from '../../src/discovery/read-runner-document.ts';
import type { OutgoingError } from '../../src/outgoing/outgoing-error.ts';
import { type Rational, rational } from '../../src/pm/rational.ts';
import { runner } from './orchestrators.ts';

const address = 'https://orchestrator.example:8935';
const noCeiling = () => undefined;

function read(document: unknown, ceilingOf: (type: string) => Rational | undefined = noCeiling) {
  const text = typeof document === 'string' ? document : JSON.stringify(document);
  return readRunnerDocument(Buffer.from(text), ceilingOf);
}

/** The runners of a document with these, as they are listed. */
function list(runners: readonly unknown[], ceilingOf?: (type: string) => Rational | undefined) {
  return read([{ address, runners }], ceilingOf).flatMap((offer) =>
    offer.runners.map(({ json }) => JSON.parse(json) as typeof runner),
  );
}

/** The price as it is written, for a price as a document writes it. */
function priceText(price: string): string | undefined {
  const text = JSON.stringify([{ address, runners: [runner] }]).replace('78987699956', price);
  return /"price":([^,]+)/.exec(read(text)[0]?.runners[0]?.json ?? '')?.[1];
}

describe('a runner', () => {
  it('is listed with all that clients know of it, and nothing else', () => {
    const document = [
      {
        address: `${address}/`,
        runners: [{ ...runner, secret: 'x', price_info: { ...runner.price_info, price_usd: 1 } }],
        operator: 'somebody',
      },
    ];
    const [offer] = read(document);
    expect(offer?.address).toBe(address);
    expect(offer?.runners.map(({ json }) => json)).toEqual([
      `{"url":"${runner.url}","app":"${runner.app}","capacity":4,"capacity_used":1,"capacity_available":3,` +
        '"gpu":{"id":"GPU-0","name":"L40S","vram_mb":46068},"version":"v1","metadata":"{\\"schema\\":\\"./schema\\"}",' +
        '"mode":"single-shot","price_info":{"price":78987699956,"currency":"wei","unit":"fixed"}}',
    ]);
  });

  it('always has its three capacities; what else it does not say is left out', () => {
    const { url, app, price_info } = runner;
    expect(list([{ url, app, price_info }])).toEqual([
      { url, app, capacity: 0, capacity_used: 0, capacity_available: 0, price_info },
    ]);
  });

  it.each([
    ['1', '1'],
    ['"1200"', '1200'],
    ['9007199254740993', '9007199254740993'],
    ['1e3', '1000'],
    ['1.50', '1.5'],
    ['12e-4', '0.0012'],
    [`1${'0'.repeat(77)}`, `1${'0'.repeat(77)}`],
    [`1${'0'.repeat(78)}`, undefined],
    ['1e999', undefined],
    ['1e-80', undefined],
    ['0', undefined],
    ['-1', undefined],
    ['""', undefined],
  ])('has its price written as it is, without an exponent: %s', (price, text) => {
    // what is no number at all spoils the document
    const read = () => priceText(price);
    if (price === '""') expect(read).toThrow('price');
    else expect(read()).toBe(text);
  });

  it.each([
    ['wei', 'fixed', true],
    [' WEI ', ' Seconds ', true],
    ['wei', '720P-pixel-seconds', true],
    ['usd', 'fixed', false],
    ['', 'fixed', false],
    ['wei', '', false],
    ['wei', 'hours', false],
    ['wei', 'constructor', false],
  ])('is priced in %j by %j', (currency, unit, isListed) => {
    const listed = list([{ ...runner, price_info: { price: 7, currency, unit } }]);
    const expected = { price: 7, currency: 'wei', unit: unit.trim().toLowerCase() };
    expect(listed.map(({ price_info }) => price_info)).toEqual(isListed ? [expected] : []);
  });

  it('may cost as much as payments of its type may', () => {
    const ceilings: Record<string, Rational> = {
      live: rational(7n),
      fixed: rational(13n, 2n),
    };
    const priced = (unit: string) => ({
      ...runner,
      price_info: { price: 7, currency: 'wei', unit },
    });
    const listed = list(
      ['seconds', 'fixed', '720p-pixel-seconds'].map(priced),
      (type) => ceilings[type],
    );
    expect(listed.map(({ price_info: { unit } }) => unit)).toEqual([
      'seconds',
      '720p-pixel-seconds',
    ]);
  });

  it.each<[string, object]>([
    ['no URL', { url: '' }],
    ['a URL that is none', { url: '/apps/one' }],
    ['a URL of another kind', { url: 'javascript:alert(1)' }],
    ['no app', { app: ' \t' }],
    ['too long an app', { app: 'x'.repeat(2_049) }],
    ['too much metadata', { metadata: 'é'.repeat(513) }],
    ['metadata that is no text', { metadata: 'a\ufffdb' }],
    ['no price', { price_info: undefined }],
  ])('is left out with %s; the others stay', (_what, change) => {
    const other = { ...runner, url: 'https://runner.example/two' };
    expect(list([{ ...runner, ...change }, other]).map(({ url }) => url)).toEqual([other.url]);
  });
});

describe('a document', () => {
  it.each<[string, unknown]>([
    ['no array', { address, runners: [runner] }],
    ['a string', '"text"'],
    ['cut off', '[{"address":"https://a.example","runners":['],
    ['an entry that is no object', [[]]],
    ['runners that are no array', [{ address, runners: {} }]],
    ['a capacity in text', [{ address, runners: [runner, { ...runner, capacity: '4' }] }]],
    ['a capacity with a fraction', [{ address, runners: [{ ...runner, capacity: 1.5 }] }]],
    ['a URL that is no text', [{ address, runners: [{ ...runner, url: 1 }] }]],
    ['nesting without end', '['.repeat(100_000)],
    ['nothing', ''],
  ])('counts for nothing when it is %s', (_what, document) => {
    let failure: unknown;
    try {
      read(document);
    } catch (error) {
      failure = (error as OutgoingError).failure;
    }
    expect(failure).toBe('malformed');
  });

  it('may name other addresses than the one asked, but only real ones', () => {
    const document = ['https://a.example', 'nowhere', 'ftp://a.example', 'http://b.example/x/'].map(
      (other) => ({ address: other, runners: [runner] }),
    );
    expect(read(document).map((offer) => offer.address)).toEqual([
      'https://a.example',
      'http://b.example/x',
    ]);
  });

  it('gives at most 256 runners', () => {
    const runners = Array.from({ length: 100 }, (_, index) => ({
      ...runner,
      url: `https://runner.example/${index}`,
    }));
    const document = [1, 2, 3, 4].map((host) => ({ address: `https://${host}.example`, runners }));
    expect(read(document).map((offer) => offer.runners.length)).toEqual([100, 100, 56]);
  });
});
