import { type KeyGate, openKeyGate } from '../../src/keys/gate.ts';
import type { Grant } from '../../src/keys/grant.ts';
import type { Intent } from '../../src/keys/intents.ts';
import { noJournal } from '../../src/keys/key-journal.ts';
import type { KeyProvider, ProviderContext } from '../../src/keys/provider.ts';
import { createGrantAuthority } from '../../src/policy/grants.ts';
import { type TestKey, type TestKeyOptions, createTestKey } from '../support/test-key.ts';
import { vectors } from '../vectors/vectors.ts';

/** A signal that is never aborted. */
export const never = new AbortController().signal;

const context: ProviderContext = {
  resolvePath: (path) => path,
  readSecret: () => {
    throw new Error('the test key has no secrets');
  },
  log: () => undefined,
};

/** The vectors' key behind the provider port. */
export async function openTestProvider(
  options: TestKeyOptions = {},
): Promise<{ provider: KeyProvider; key: TestKey }> {
  const key = createTestKey(vectors.key.privateKey, options);
  return { key, provider: await key.plugin.open({}, context) };
}

export type TestGate = {
  readonly gate: KeyGate;
  readonly issue: (intent: Intent) => Grant;
};

/** The real gate over a provider, with an authority that grants whatever the test asks for. */
export async function openTestGate(
  provider: KeyProvider,
  { maxQueued = 10_000, nowMs = () => performance.now(), journal = noJournal } = {},
): Promise<TestGate> {
  const grants = createGrantAuthority(nowMs);
  const gate = await openKeyGate({
    requireSigning: () => undefined,
    provider,
    redeem: (grant) => grants.redeem(grant),
    journal,
    maxQueued,
    signal: never,
  });
  return { gate, issue: (intent) => grants.issue(intent, {}) };
}
