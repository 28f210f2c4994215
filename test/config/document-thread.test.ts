import { describe, expect, it } from 'vitest';
import { parseApiKeyFile } from '../../src/config/api-key-file.ts';
import { readDocument } from '../../src/config/document-thread.ts';
import { readPolicyDocument, toPolicy } from '../../src/config/policy-file.ts';

const keyFile = (count: number): string =>
  Array.from(
    { length: count },
    (_, index) =>
      `- { id: key${String(index).padStart(12, '0')}, hash: ${'a'.repeat(64)}, principal: p${index}, tenant: t, expires: 2030-01-01T00:00:00Z }\n`,
  ).join('');

const policy = `default: deny
rules:
  - { id: dear, when: { type: [lv2v], capability: [live-video-to-video/a] }, limit: { price: 0.1 usd/hour, totalEv: 1 gwei } }
  - { id: hourly, mode: observe, window: { per: tenant, every: 1h, ev: 0.5 ether, tickets: 10 } }
  - { id: others, when: { orchestrator: [0x${'Ab'.repeat(20)}] }, then: allow }
`;

/** The same document, too long to be read without a thread. */
const long = (text: string): string => `${'# a comment\n'.repeat(400)}${text}`;

describe.each([
  ['a short document', (text: string) => text],
  ['a document that is read in a thread of its own', long],
])('%s', (_length, make) => {
  it('is the one that the same thread would read: API keys', async () => {
    const text = make(keyFile(3));
    const keys = await readDocument('API keys', text, 'keys.yaml');
    expect(keys.size).toBe(3);
    expect(keys).toEqual(parseApiKeyFile(text, 'keys.yaml'));
  });

  it('is the one that the same thread would read: policy', async () => {
    const text = make(policy);
    const document = await readDocument('policy', text, 'policy.yaml');
    expect(document).toEqual(readPolicyDocument(text, 'policy.yaml'));
    expect(toPolicy(document).ruleIds).toEqual(['dear', 'hourly', 'others']);
  });

  it.each(['policy', 'API keys'] as const)('is refused in the same words: %s', async (kind) => {
    const text = make('default: perhaps\nrules: [{ id: a }]');
    const read = kind === 'policy' ? readPolicyDocument : parseApiKeyFile;
    const refusal = (() => {
      try {
        return read(text, 'file.yaml');
      } catch (error) {
        return error;
      }
    })();
    expect(refusal).toMatchObject({ code: 'CONFIG_INVALID' });
    await expect(readDocument(kind, text, 'file.yaml')).rejects.toEqual(refusal);
  });
});

describe('a long document', () => {
  it('leaves this thread free meanwhile', async () => {
    const startedAtMs = performance.now();
    let previousMs = startedAtMs;
    let longestMs = 0;
    const timer = setInterval(() => {
      longestMs = Math.max(longestMs, performance.now() - previousMs);
      previousMs = performance.now();
    }, 1);
    const keys = await readDocument('API keys', keyFile(5_000), 'keys.yaml');
    const tookMs = performance.now() - startedAtMs;
    clearInterval(timer);
    expect(keys.size).toBe(5_000);
    expect(longestMs).toBeLessThan(tookMs / 3);
  });

  it('ends its thread, and not the program, when it takes too much of either time or memory', async () => {
    const text = '- a\n'.repeat(2_000_000);
    await expect(readDocument('policy', text, 'policy.yaml')).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(
        /^policy\.yaml takes over (512 MB|30 s) to be read$/,
      ) as string,
    });
  });
});
