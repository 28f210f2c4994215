import { describe, expect, it } from 'vitest';
import { createPriceList } from '../../src/compose/policy.ts';
import { openRules } from '../../src/compose/rules.ts';
import { loadConfig } from '../../src/config/load.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { Folder, devConfig } from '../cli/cli.ts';

const fixedRate = 'feed: { weiPerUsd: "1000000000000000000/3200" }';
const onChain = (fields = '') =>
  `${devConfig.replace(/^chain:[\s\S]*/m, '')}chain: { source: on-chain, rpcUrls: ["https://arb.example"]${fields} }\n`;
const otherChain = onChain(`, chainId: 31337, controller: "0x${'ab'.repeat(20)}"`);

/** The checked settings, or the problem lines. */
async function load(section: string, base = devConfig) {
  using folder = new Folder();
  const text = `${base}${section}\n`;
  try {
    return (await loadConfig(folder.write('signer.yaml', text), {})).settings;
  } catch (error) {
    return (error as Error).message.split('\n').filter((line) => line.startsWith('  '));
  }
}

async function loadPrices(text: string) {
  const settings = await load(`prices:\n  ${fixedRate}\n  ${text}`);
  if (Array.isArray(settings)) throw new Error(settings.join());
  return createPriceList(settings);
}

const usd = (numerator: bigint, denominator = 1n) => ({ usd: { numerator, denominator } });

describe('prices in USD', () => {
  it('are exact, for what the type bills', async () => {
    const { byType } = await loadPrices(
      'maxPrice: { lv2v: 3.6 usd/hour, live: 0.1 usd/hour, fixed: 0.05 usd }',
    );
    expect(byType).toEqual({
      lv2v: usd(1n, 27_648_000_000n),
      live: usd(1n, 36_000n),
      fixed: usd(1n, 20n),
    });
  });

  it('of capabilities are for the types that their unit is for', async () => {
    const { byCapability } = await loadPrices(
      'capabilities: [' +
        '{ pipeline: live-video-to-video, maxPrice: 3.6 usd/hour }, ' +
        '{ pipeline: llm, model: m, maxPrice: 0.05 usd }, ' +
        '{ pipeline: llm, maxPrice: 7 wei }]',
    );
    const seven = { numerator: 7n, denominator: 1n };
    expect(byCapability).toEqual([
      {
        capability: 35,
        model: 'default',
        maximum: { lv2v: usd(1n, 27_648_000_000n), live: usd(1n, 1_000n), fixed: undefined },
      },
      {
        capability: 33,
        model: 'm',
        maximum: { lv2v: undefined, live: undefined, fixed: usd(1n, 20n) },
      },
      { capability: 33, model: 'default', maximum: { lv2v: seven, live: seven, fixed: seven } },
    ]);
  });

  const hour720p = '"3.6 usd/hour", for an hour of 720p at 30 frames a second';
  const anyPrice =
    'expected a price, such as "1200 wei", "3.6 usd/hour" or, for requests, "0.05 usd"';
  // prettier-ignore
  it.each([
    ['maxPrice: { lv2v: 0.05 usd }', `  prices.maxPrice.lv2v: in US dollars, expected ${hour720p}`],
    ['maxPrice: { live: 0.05 usd }', '  prices.maxPrice.live: in US dollars, expected "3.6 usd/hour"'],
    ['maxPrice: { fixed: 1 usd/hour }', '  prices.maxPrice.fixed: in US dollars, expected "0.05 usd", for a request'],
    ...['3.6', '-1 usd/hour', '1e3 usd/hour', '1 USD/hour', '1 usd/h', '1 usd / hour', '$1', '1 eur/hour'].map((text) =>
      [`maxPrice: { lv2v: ${text} }`, `  prices.maxPrice.lv2v: ${anyPrice}`]),
    ['capabilities: [{ pipeline: llm, maxPrice: 1 usd/minute }]', `  prices.capabilities.0.maxPrice: ${anyPrice}`],
  ])('%s is refused', async (text, problem) => {
    expect(await load(`prices:\n  ${fixedRate}\n  ${text}`)).toEqual([problem]);
  });
});

describe('prices.feed', () => {
  it('needs no more than to be there on Arbitrum One', async () => {
    expect(await load('prices: { feed: {} }', onChain())).toMatchObject({
      prices: { feed: { maxAgeMs: 7_200_000, refreshIntervalMs: 300_000 } },
    });
  });

  it.each([
    ['312500000000000', 312_500_000_000_000n, 1n],
    ['"312500000000000.5"', 625_000_000_000_001n, 2n],
    ['"1000000000000000000/3000"', 10n ** 18n, 3_000n],
  ])('takes a fixed rate: %s', async (text, numerator, denominator) => {
    for (const base of [devConfig, otherChain]) {
      expect(await load(`prices: { feed: { weiPerUsd: ${text} } }`, base)).toMatchObject({
        prices: { feed: { weiPerUsd: { numerator, denominator } } },
      });
    }
  });

  const rate =
    '  prices.feed.weiPerUsd: expected a positive number, such as 312500000000000, or "1000000000000000000/3200" as text';
  const address = `"0x${'12'.repeat(20)}"`;
  // prettier-ignore
  it.each([
    ['prices: { maxPrice: { live: 1 usd/hour } }', devConfig, '  prices.feed: missing; amounts in USD need it'],
    ['prices: { capabilities: [{ pipeline: llm, maxPrice: 1 usd }] }', onChain(), '  prices.feed: missing; amounts in USD need it'],
    ['prices: { feed: {} }', devConfig, '  prices.feed.weiPerUsd: missing; with static facts no feed is read'],
    ['prices: { feed: {} }', otherChain, '  prices.feed.address: missing; only the feed of Arbitrum One (42161) is known here'],
    [`prices: { feed: { address: ${address}, weiPerUsd: 5 } }`, otherChain, '  prices.feed.weiPerUsd: expected either address or weiPerUsd'],
    ['prices: { feed: { weiPerUsd: 0 } }', devConfig, rate],
    ['prices: { feed: { weiPerUsd: "-5" } }', devConfig, rate],
    ['prices: { feed: { weiPerUsd: 0.5 } }', devConfig, rate],
    ['prices: { feed: { weiPerUsd: 5 wei } }', devConfig, rate],
    [`prices: { ${fixedRate}, maxPrice: { live: 1 usd/hour } }\nsession: { fields: upstream }`, devConfig,
      '  session.fields: expected extended: the rate at which a session began, which ceilings in USD go by, is in its state'],
  ])('%s: %#', async (text, base, problem) => {
    expect(await load(text, base)).toEqual([problem]);
  });

  it.each([
    [
      'limit: { totalEv: 1 usd }',
      '',
      'has amounts in USD, and nothing says what they are worth: set prices.feed',
    ],
    [
      'window: { per: all, every: 1h, ev: 1 usd }',
      '',
      'has amounts in USD, and nothing says what they are worth: set prices.feed',
    ],
    [
      'limit: { totalEv: 1 usd }',
      `prices: { ${fixedRate} }\nsession: { fields: upstream }`,
      'or has limits in USD',
    ],
  ])('is asked for by a policy file with %s', async (rule, section, problem) => {
    using folder = new Folder();
    folder.write('policy.yaml', `default: allow\nrules: [{ id: a, ${rule} }]`);
    const text = `${devConfig}policy: { file: policy.yaml }\nstore: { kind: embedded, path: spending }\n${section}\n`;
    const config = await loadConfig(folder.write('signer.yaml', text), {});
    expect(() => openRules(config, createLogger('error'), () => undefined)).toThrow(problem);
  });
});
