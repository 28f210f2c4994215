import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { readRpcUrls } from '../../src/config/secret-urls.ts';
import { Folder, devConfig } from '../cli/cli.ts';

const controller = `0x${'Ab'.repeat(20)}`;
const url = 'https://arb.example/v2/api-key-7461';

/** The checked `chain` section, or the problem lines. */
async function loadChain(section: string) {
  using folder = new Folder();
  const text = devConfig.replace(/^chain:[\s\S]*/m, `chain:\n  source: on-chain\n${section}`);
  try {
    return (await loadConfig(folder.write('signer.yaml', text), {})).settings.chain;
  } catch (error) {
    return (error as Error).message.split('\n').filter((line) => line.startsWith('  chain'));
  }
}

const lines = (...fields: string[]): string => fields.map((field) => `  ${field}\n`).join('');

describe('chain.source: on-chain', () => {
  it('needs no more than a URL on Arbitrum One', async () => {
    expect(await loadChain(lines(`rpcUrls: ["${url}"]`))).toEqual({
      source: 'on-chain',
      chainId: 42_161,
      controller: '0xd8e8328501e9645d16cf49539efc04f734606ee4',
      rpcUrls: [url],
      refreshIntervalMs: 5_000,
      requestTimeoutMs: 4_000,
      maxAgeMs: 60_000,
      maxBlockAgeMs: 300_000,
    });
  });

  it('takes any chain whose Controller is named, and thresholds in any unit', async () => {
    const section = lines(
      'chainId: 31337',
      `controller: "${controller}"`,
      `rpcUrls: [env:RPC_URL, file:rpc-url, "${url}"]`,
      'lowDeposit: 0.2 ether',
      'lowReserve: 5 gwei',
    );
    expect(await loadChain(section)).toMatchObject({
      chainId: 31_337,
      controller: controller.toLowerCase(),
      rpcUrls: ['env:RPC_URL', 'file:rpc-url', url],
      lowDeposit: 200_000_000_000_000_000n,
      lowReserve: 5_000_000_000n,
    });
  });

  const usable = `rpcUrls: ["${url}"]`;
  const expected = 'expected an http or https URL, or a reference to one, env:NAME or file:PATH';
  // prettier-ignore
  it.each([
    ['no URL', lines(), '  chain.rpcUrls: missing; expected a list'],
    ['an empty list of URLs', lines('rpcUrls: []'), '  chain.rpcUrls: expected at least one URL'],
    ['a websocket', lines('rpcUrls: ["wss://user:word@arb.example"]'), `  chain.rpcUrls.0: ${expected}`],
    ['what is no URL', lines('rpcUrls: [api-key-7461]'), `  chain.rpcUrls.0: ${expected}`],
    ['another chain without a Controller', lines('chainId: 1', usable), '  chain.controller: missing; only the Controller of Arbitrum One (42161) is known here'],
    ['a Controller that is no address', lines('controller: "0x12"', usable), '  chain.controller: expected 0x and 40 hex digits'],
    ['facts that end before they are refreshed', lines('refreshIntervalMs: 5000', 'maxAgeMs: 5000', usable), '  chain.maxAgeMs: expected more than refreshIntervalMs'],
    ['a fraction of a wei', lines('lowDeposit: 0.5 wei', usable), '  chain.lowDeposit: expected whole wei'],
  ])('refuses %s', async (_what, section, problem) => {
    expect(await loadChain(section)).toEqual([problem]);
  });
});

describe('the URL that a reference names', () => {
  it('is read from a file or the environment', () => {
    using folder = new Folder();
    const resolvePath = (path: string): string => `${folder.path}/${path}`;
    folder.write('rpc-url', `${url}\n`);
    process.env['TEST_RPC_URL'] = 'http://user:word@arb.example';
    expect(readRpcUrls(['file:rpc-url', 'env:TEST_RPC_URL', url], resolvePath)).toEqual([
      url,
      'http://user:word@arb.example',
      url,
    ]);
  });

  it('is refused without being shown when it is none', () => {
    process.env['TEST_RPC_URL'] = 'api-key-7461';
    const read = () => readRpcUrls([url, 'env:TEST_RPC_URL'], (path) => path);
    expect(read).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: 'chain.rpcUrls.1: what env:TEST_RPC_URL holds is no http or https URL',
      }) as Error,
    );
  });
});
