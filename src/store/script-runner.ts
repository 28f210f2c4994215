import { ZodError } from 'zod';

/** Redis as the ledger and the answer memory need it: scripts, each of which is one atomic step. */
export type ScriptRunner = {
  /**
   * Runs a Lua script once, in one round trip, and resolves with what it returns. It rejects soon when there is no answer, or
   * when its writes are not acknowledged. The script may have run or not; if an answer is known then or comes later, `onLate`
   * gets it.
   */
  run(
    script: string,
    keys: readonly string[],
    args: readonly string[],
    onLate?: (reply: unknown) => void,
  ): Promise<unknown>;
};

/**
 * Whether the store was reached and refused: a script's error (OOM, READONLY or NOAUTH, for instance), or an answer that makes no
 * sense. A store that is still LOADING counts as not reached.
 */
export function isRefusal(message: string): boolean {
  return /^Redis answered (?!LOADING\b)/.test(message);
}

/** What went wrong with a script or its answer, in words that {@link isRefusal} recognises. */
export function describeScriptFailure(cause: unknown): string {
  if (cause instanceof ZodError) return 'Redis answered what no script of this program returns';
  return cause instanceof Error ? cause.message : String(cause);
}
