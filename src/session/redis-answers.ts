import { hash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { RecordsError } from '../errors.ts';
import { describeAbort } from '../keys/describe-abort.ts';
import { type ScriptRunner, describeScriptFailure } from '../store/script-runner.ts';
import type { AnswerMemory, Claim, UseRequest } from './answer-memory.ts';
import type { NonceDemand, NonceOutcome } from './nonce-demand.ts';
import {
  claimScript,
  forgetScript,
  giveBackScript,
  healthScript,
  rememberScript,
  takeNoncesScript,
} from './redis-scripts.ts';
import { shareClaims } from './shared-claims.ts';

export type RedisAnswersOptions = {
  readonly redis: ScriptRunner;
  readonly keyPrefix: string;
  /** how long an answer is kept */
  readonly ttlMs: number;
  /** the bytes that all answers of all instances may take together */
  readonly maxBytes: number;
  /** the time in which all work on a request ends: the claim of an instance that is gone ends soon after */
  readonly requestDeadlineMs: number;
};

const newReply = z.tuple([
  z.enum(['new', 'fork']),
  z.enum(['taken', 'used-up', 'no-room']),
  z.int().nonnegative(),
  z.literal([0, 1]),
]);
const otherReplies = [
  z.tuple([z.literal('answered'), z.string()]),
  z.tuple([z.literal('pending')]),
] as const;
/** the reply to a claim that takes nonces, or to one that takes none */
const claimReply = z.union([...otherReplies, newReply]);
const plainReply = z.union([...otherReplies, z.tuple([z.enum(['new', 'fork'])])]);
const rememberReply = z.union([z.tuple([]), z.tuple([z.string()])]);

/** The pause between two looks at a claim that another instance has. */
const pollIntervalMs = 25;
/** How long a claim lasts beyond the deadline of its request. */
const marginMs = 1_500;

/** The answer memory that instances share. Throws `ANSWERS_UNAVAILABLE` while Redis can't be reached. */
export function createRedisAnswers({
  redis,
  keyPrefix,
  ttlMs,
  maxBytes,
  requestDeadlineMs,
}: RedisAnswersOptions): AnswerMemory {
  const noncesKeysOf = ({ ticketSession, holder }: NonceDemand): string[] => [
    `${keyPrefix}nonces:${ticketSession}`,
    `${keyPrefix}held-nonces:${holder}`,
  ];

  const roomKeys = ['answers-by-age', 'answers-of-tenants', 'answers-bytes'].map(
    (name) => keyPrefix + name,
  );

  async function giveBack(demand: NonceDemand, nonces: NonceOutcome, token: string): Promise<void> {
    if (nonces.kind !== 'taken') return;
    const { ticketSession, count } = demand;
    const { lastNonce, isFirst } = nonces;
    const args = [ticketSession, `${lastNonce}`, `${count}`, isFirst ? '1' : '0', token];
    await redis.run(giveBackScript, noncesKeysOf(demand), args).catch(() => undefined);
  }

  async function takeNonces(demand: NonceDemand): Promise<Claim> {
    const token = randomUUID();
    const reply = await redis
      .run(takeNoncesScript, noncesKeysOf(demand), ['', token, '', ...listDemand(demand)])
      .then((raw) => newReply.parse(raw))
      .catch(failAsUnavailable);
    const nonces = readOutcome(reply);
    return {
      kind: 'new',
      isFork: false,
      nonces,
      remember: (answer) => Promise.resolve(answer),
      forget: async (state) => {
        if (state === 'unused') await giveBack(demand, nonces, token);
      },
    };
  }

  async function claim(request: UseRequest, signal: AbortSignal): Promise<Claim> {
    const { use, requestHash, nonces: demand, holder } = request;
    if (use === undefined) return demand ? takeNonces(demand) : unclaimed;
    const name = `${use}:${requestHash}`;
    const keys = [`${keyPrefix}use:${use}`, `${keyPrefix}answer:${name}`];
    const holderArgs = [holder.tenant, holder.principal].map(toName);
    const token = randomUUID();
    const forget = async (): Promise<void> => {
      await redis.run(forgetScript, keys, [requestHash, token]).catch(() => undefined);
    };
    const claimKeys = [...keys, ...(demand ? noncesKeysOf(demand) : [])];
    const claimArgs = [
      requestHash,
      token,
      `${requestDeadlineMs + marginMs}`,
      ...listDemand(demand),
    ];
    for (;;) {
      if (signal.aborted) throw describeAbort('the memory of answers', signal);
      const reply = await redis
        .run(claimScript, claimKeys, claimArgs, () => void forget())
        .then((raw) => (demand ? claimReply : plainReply).parse(raw))
        .catch(failAsUnavailable);
      if (reply[0] === 'answered') return { kind: 'answered', answer: reply[1] };
      if (reply[0] !== 'pending') {
        const nonces = reply.length === 1 ? undefined : readOutcome(reply);
        return {
          kind: 'new',
          isFork: reply[0] === 'fork',
          nonces,
          async remember(answer) {
            const limits = [`${ttlMs}`, `${maxBytes}`];
            const args = [requestHash, answer, ...limits, keyPrefix, ...holderArgs, name];
            const [earlier] = await redis
              .run(rememberScript, [...keys, ...roomKeys], args)
              .then((raw) => rememberReply.parse(raw))
              .catch(failAsUnavailable);
            return earlier ?? answer;
          },
          async forget(state) {
            if (demand && nonces && state === 'unused') await giveBack(demand, nonces, token);
            await forget();
          },
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

/** The claim of a request that can't be told from others, and wants no tickets. */
const unclaimed: Claim = {
  kind: 'new',
  isFork: false,
  nonces: undefined,
  remember: (answer) => Promise.resolve(answer),
  forget: () => Promise.resolve(),
};

/** A name of fixed length for a tenant or principal, whatever characters theirs has. */
function toName(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22);
}

function listDemand(demand: NonceDemand | undefined): string[] {
  if (!demand) return [];
  const { ticketSession, count, after, limit, lifetimeMs } = demand;
  return [ticketSession, `${count}`, `${after}`, `${limit}`, `${lifetimeMs}`];
}

function readOutcome([, kind, lastNonce, isFirst]: z.output<typeof newReply>): NonceOutcome {
  if (kind === 'taken') return { kind, lastNonce, isFirst: isFirst === 1 };
  return kind === 'used-up' ? { kind, lastNonce } : { kind: 'no-room' };
}

function failAsUnavailable(cause: unknown): never {
  const details = describeScriptFailure(cause);
  const message = 'the memory of answers in Redis did not answer as it should';
  throw new RecordsError('ANSWERS_UNAVAILABLE', message, { details, retryable: true, cause });
}
