import { describe, expect, it } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { vectorChain } from '../support/test-signer.ts';

const onChain = { source: 'on-chain', rpcUrls: ['https://node.example'] };

/** What is wrong with a section, `path: message` each. */
function problemsOf(discovery: unknown, chain: object = vectorChain): string[] {
  const { error } = configSchema.safeParse({ keys: [{ provider: 'x' }], chain, discovery });
  return error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];
}

describe('the section discovery', () => {
  it.each([
    { orchestrators: ['orchestrator.example:8935'] },
    { orchestrators: [] },
    { webhookUrl: 'http://10.0.0.1/orchestrators' },
    { webhookUrl: 'env:ORCHESTRATORS_URL' },
    { orchestrators: ['a'], webhookUrl: 'https://b', grants: ['10.0.0.0/8', 'fd00::/8', '::1'] },
  ])('takes %j', (discovery) => {
    expect(problemsOf(discovery)).toEqual([]);
  });

  it('takes the chain where there is one', () => {
    expect(problemsOf({ chain: true }, onChain)).toEqual([]);
    const serviceRegistry = `0x${'Ab'.repeat(20)}`;
    expect(problemsOf({ chain: true, serviceRegistry }, onChain)).toEqual([]);
    expect(problemsOf({ chain: true })).toEqual(['discovery.chain: needs chain.source: on-chain']);
  });

  it.each<[object, string]>([
    [{}, 'discovery: needs one of orchestrators, webhookUrl, chain: true'],
    [{ chain: false }, 'discovery: needs one of orchestrators, webhookUrl, chain: true'],
    [
      { orchestrators: ['a'], serviceRegistry: `0x${'ab'.repeat(20)}` },
      'discovery.serviceRegistry: needs chain: true',
    ],
    [
      { orchestrators: ['a'], maxAgeMs: 60_000 },
      'discovery.maxAgeMs: expected more than refreshIntervalMs',
    ],
    [
      { webhookUrl: 'ftp://x' },
      'discovery.webhookUrl: expected an http or https URL, or a reference to one, env:NAME or file:PATH',
    ],
    [
      { orchestrators: ['a'], grants: ['10.0.0.0/33'] },
      'discovery.grants.0: expected an IP address, or a network such as 10.0.0.0/8',
    ],
    [
      { orchestrators: ['a'], blocklist: ['0x12'] },
      'discovery.blocklist.0: expected 0x and 40 hex digits',
    ],
  ])('refuses %j', (discovery, problem) => {
    expect(problemsOf(discovery)).toEqual([problem]);
  });
});
