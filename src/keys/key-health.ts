import { isSignerError } from '../errors.ts';
import type { KeyCondition } from './key-condition.ts';
import type { CallOptions, KeyProvider } from './provider.ts';

/** What probes may cost the device: one question in this time, however often they come. */
const questionIntervalMs = 5_000;
/** While the key fails it is asked more often, to be back in service soon. */
const failingIntervalMs = 1_000;
const questionTimeoutMs = 2_000;
/** A signature is proof for this long. */
const proofLifetimeMs = 60_000;

export type KeyHealthOptions = {
  readonly provider: Pick<KeyProvider, 'checkHealth'>;
  readonly condition: Pick<KeyCondition, 'failure' | 'signedAtMs'>;
  /** Has the key sign a self-test through the gate. Throws what the gate throws. */
  readonly prove: (options: CallOptions) => Promise<void>;
  /** The clock of `condition`. */
  readonly nowMs?: () => number;
};

/**
 * Tells whether the key signs: by its last signature. The device's own health check is asked as well, but it is no proof,
 * neither that the key signs nor that it does not: where there was no signature for a minute, where the last one failed, and
 * where the device calls itself ill, a self-test decides. `KEY_UNSUITABLE` alone is final, though the key signs: an alias that
 * stands for another key now would keep the next start from using this one. The check rejects with the reason while the key fails; it does not
 * wait for the device then.
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
      // who asks while the key fails does not wait for it
      question.answer.catch(() => undefined);
    }
    if (failure) throw failure;
    if (unsuitable) throw unsuitable;
    if (condition.signedAtMs > question.atMs) return;
    await question.answer.catch((error: unknown) => {
      // a signature that could not be recorded was not asked for: the audit log's problem
      if (!(isSignerError(error) && error.code === 'AUDIT_UNAVAILABLE')) throw error;
    });
  };
}
