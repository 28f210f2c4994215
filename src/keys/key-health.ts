import { isSignerError } from '../errors.ts';
import type { KeyCondition } from './key-condition.ts';
import type { CallOptions, KeyProvider } from './provider.ts';

/** The device is asked at most once in this time, however often probes come. */
const questionIntervalMs = 5_000;
/** The same while the key fails: it is asked more often, to be back in service soon. */
const failingIntervalMs = 1_000;
const questionTimeoutMs = 2_000;
/** For how long a signature proves that the key signs. */
const proofLifetimeMs = 60_000;

export type KeyHealthOptions = {
  readonly provider: Pick<KeyProvider, 'checkHealth'>;
  readonly condition: Pick<KeyCondition, 'failure' | 'signedAtMs'>;
  /** Makes the key sign a self-test through the gate. Throws what the gate throws. */
  readonly prove: (options: CallOptions) => Promise<void>;
  /** The clock of `condition`. */
  readonly nowMs?: () => number;
};

/**
 * Tells whether the key signs, by its last signature. The device's own health check is asked as well, but it proves nothing
 * either way: where there was no signature for a minute, where the last one failed, and where the device reports itself ill, a
 * self-test decides. Only `KEY_UNSUITABLE` is final, even if the key signs: an alias that now stands for another key would keep
 * the next start from using this one. While the key fails, the check rejects with the reason, and does not wait for the device.
 */
export function createKeyHealthCheck({
  provider,
  condition,
  prove,
  nowMs = () => performance.now(),
}: KeyHealthOptions): () => Promise<void> {
  let question: { readonly atMs: number; readonly answer: Promise<void> } | undefined;
  let unsuitable: Error | undefined;

  async function ask(): Promise<void> {
    const options = { signal: AbortSignal.timeout(questionTimeoutMs) };
    const illness: unknown = await (async () => provider.checkHealth?.(options))().then(
      () => undefined,
      (error: unknown) => error ?? new Error('unknown'),
    );
    unsuitable = isSignerError(illness) && illness.code === 'KEY_UNSUITABLE' ? illness : undefined;
    if (unsuitable) throw unsuitable;
    const isProved = nowMs() - condition.signedAtMs < proofLifetimeMs;
    if (illness === undefined && isProved && !condition.failure) return;
    await prove({ signal: AbortSignal.timeout(questionTimeoutMs) });
  }

  return async () => {
    const { failure } = condition;
    const intervalMs = failure ? failingIntervalMs : questionIntervalMs;
    if (!question || nowMs() - question.atMs >= intervalMs) {
      question = { atMs: nowMs(), answer: ask() };
      // while the key fails, the caller does not wait for the answer
      question.answer.catch(() => undefined);
    }
    if (failure) throw failure;
    if (unsuitable) throw unsuitable;
    if (condition.signedAtMs > question.atMs) return;
    await question.answer.catch((error: unknown) => {
      // where a signature could not be recorded, the key was not called: that is a problem of the audit log
      if (!(isSignerError(error) && error.code === 'AUDIT_UNAVAILABLE')) throw error;
    });
  };
}
