import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { RecordsError } from '../errors.ts';
import { describeAbort } from '../keys/describe-abort.ts';
import type { ScriptRunner } from '../script-runner.ts';
import type { AnswerMemory, Claim } from './answer-memory.ts';
import { claimScript, forgetScript, healthScript, rememberScript } from './redis-scripts.ts';
import { shareClaims } from './shared-claims.ts';

export type RedisAnswersOptions = {
  readonly redis: ScriptRunner;
  readonly keyPrefix: string;
  /** how long an answer is kept */
  readonly ttlMs: number;
  /** all work on a request is over by then: a claim of an instance that is gone ends soon after */
  readonly requestDeadlineMs: number;
};

const claimReply = z.union([
  z.tuple([z.enum(['new', 'fork', 'pending'])]),
  z.tuple([z.literal('answered'), z.string()]),
]);
const rememberReply = z.union([z.tuple([]), z.tuple([z.string()])]);

/** Between two looks at a claim that another instance has. */
const pollIntervalMs = 25;
/** What a claim lasts beyond the deadline of its request. */
const marginMs = 1_500;

/** The memory that instances share. Throws `ANSWERS_UNAVAILABLE` while Redis can't be reached. */
export function createRedisAnswers({
  redis,
  keyPrefix,
  ttlMs,
  requestDeadlineMs,
}: RedisAnswersOptions): AnswerMemory {
  async function claim(use: string, requestHash: string, signal: AbortSignal): Promise<Claim> {
    const keys = [`${keyPrefix}use:${use}`, `${keyPrefix}answer:${use}:${requestHash}`];
    const token = randomUUID();
    const forget = async (): Promise<void> => {
      await redis.run(forgetScript, keys, [requestHash, token]).catch(() => undefined);
    };
    const claimArgs = [requestHash, token, `${requestDeadlineMs + marginMs}`];
    for (;;) {
      if (signal.aborted) throw describeAbort('the memory of answers', signal);
      const reply = await redis
        .run(claimScript, keys, claimArgs, () => void forget())
        .then((raw) => claimReply.parse(raw))
        .catch(failAsUnavailable);
      if (reply[0] === 'answered') return { kind: 'answered', answer: reply[1] };
      if (reply[0] !== 'pending') {
        return {
          kind: 'new',
          isFork: reply[0] === 'fork',
          async remember(answer) {
            const [earlier] = await redis
              .run(rememberScript, keys, [requestHash, answer, `${ttlMs}`])
              .then((raw) => rememberReply.parse(raw))
              .catch(failAsUnavailable);
            return earlier ?? answer;
          },
          forget,
        };
      }
      await sleep(pollIntervalMs, undefined, { signal }).catch(() => undefined);
    }
  }

  return shareClaims({
    claim,
    async checkHealth() {
      await redis.run(healthScript, [`${keyPrefix}health`], []).catch(failAsUnavailable);
    },
  });
}

function failAsUnavailable(cause: unknown): never {
  const details = cause instanceof Error ? cause.message : String(cause);
  const message = 'the memory of answers in Redis did not answer as it should';
  throw new RecordsError('ANSWERS_UNAVAILABLE', message, { details, retryable: true, cause });
}
