import { isSignerError } from '../errors.ts';
import { isRefusal } from '../store/script-runner.ts';
import type { AnswerMemory, Claim } from './answer-memory.ts';
import { NonceMarks } from './nonce-marks.ts';
import { shareClaims } from './shared-claims.ts';

const logIntervalMs = 5_000;

/**
 * An answer memory whose failure does not stop payments. While it can't be reached, requests get the same answer only when they
 * are under way in this process at the same time, and the nonces that were handed out are known to this process only. Its health
 * is reported unchanged.
 */
export function failOpenAnswers(
  memory: AnswerMemory,
  log: (level: 'warn', message: string, fields: Readonly<Record<string, unknown>>) => void,
): AnswerMemory {
  let nextLogMs = 0;
  const nonceMarks = new NonceMarks({ nowMs: () => performance.now() });

  function passOver(error: unknown): void {
    if (!isSignerError(error) || error.code !== 'ANSWERS_UNAVAILABLE') throw error;
    if (isRefusal(error.details ?? '')) throw error;
    if (performance.now() < nextLogMs) return;
    nextLogMs = performance.now() + logIntervalMs;
    const { message, details } = error;
    log('warn', 'payments go on without a memory of answers', { reason: message, details });
  }

  async function claim(...[request, signal]: Parameters<AnswerMemory['claim']>): Promise<Claim> {
    const { nonces } = request;
    const demand = nonces && {
      ...nonces,
      after: Math.max(nonces.after, nonceMarks.last(nonces.ticketSession)),
    };
    try {
      const claimed = await memory.claim({ ...request, nonces: demand }, signal);
      if (claimed.kind === 'answered') return claimed;
      if (demand && claimed.nonces?.kind === 'taken') {
        nonceMarks.take({ ...demand, after: claimed.nonces.lastNonce });
      }
      return {
        ...claimed,
        remember: (answer) =>
          claimed.remember(answer).catch((error: unknown) => {
            passOver(error);
            return answer;
          }),
      };
    } catch (error) {
      passOver(error);
      return {
        kind: 'new',
        isFork: false,
        nonces: demand && nonceMarks.take(demand),
        remember: (answer) => Promise.resolve(answer),
        forget: () => Promise.resolve(),
      };
    }
  }

  return shareClaims({ ...memory, claim });
}
