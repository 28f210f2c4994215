import { ZodError } from 'zod';

/** What the ledger and the answer memory need of Redis: scripts, each of which is one atomic step. */
export type ScriptRunner = {
  /**
   * Runs a Lua script once, in one round trip, and resolves with what it returns. It rejects soon when there is no answer, or
   * when what it wrote is not acknowledged: the script may have run or not, and if an answer is known by then or comes later,
   * `onLate` gets it.
   */
  run(
    script: string,
    keys: readonly string[],
    args: readonly string[],
    onLate?: (reply: unknown) => void,
  ): Promise<unknown>;
};

/**
 * Whether a store was reached and refused: by a script's error, with OOM, READONLY or NOAUTH for instance, or by an answer that
 * makes no sense. One that is still LOADING can't be reached yet.
 */
export function isRefusal(message: string): boolean {
  return /^Redis answered (?!LOADING\b)/.test(message);
}

/** What went wrong with a script or its answer, in words that `isRefusal` understands. */
export function describeScriptFailure(cause: unknown): string {
  if (cause instanceof ZodError) return 'Redis answered what no script of this program returns';
  return cause instanceof Error ? cause.message : String(cause);
}
