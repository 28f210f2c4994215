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

/** How long work took, and the longest time in which this thread could do nothing else. */
async function watch(work: () => Promise<unknown>): Promise<{ tookMs: number; blockedMs: number }> {
  const startedAtMs = performance.now();
  let previousMs = startedAtMs;
  let blockedMs = 0;
  const tick = (): void => {
    blockedMs = Math.max(blockedMs, performance.now() - previousMs);
    previousMs = performance.now();
  };
  const timer = setInterval(tick, 1);
  await work();
  tick();
  clearInterval(timer);
  return { tookMs: performance.now() - startedAtMs, blockedMs };
}

describe('a long document', () => {
  it('leaves this thread free meanwhile', async () => {
    const { tookMs, blockedMs } = await watch(async () => {
      const keys = await readDocument('API keys', keyFile(5_000), 'keys.yaml');
      expect(keys.size).toBe(5_000);
    });
    expect(blockedMs).toBeLessThan(0.75 * tookMs);
  });

  it('leaves it free too where aliases make a short text long', async () => {
    const wrong = `recipient: &wrong [${'x,'.repeat(400)}]`;
    const more = `  - { id: a, when: { orchestrator: *wrong } }\n`.repeat(60);
    const text = `default: deny\nrules:\n  - { id: a, when: { ${wrong} } }\n${more}`;
    expect(text.length).toBeLessThan(4_096);
    const { tookMs, blockedMs } = await watch(() =>
      expect(readDocument('policy', text, 'policy.yaml')).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
      }),
    );
    expect(blockedMs).toBeLessThan(0.75 * tookMs);
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
