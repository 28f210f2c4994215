import { createClient } from '@redis/client';
import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ReserveOutcome, Spend } from '../../src/policy/limits/ledger.ts';
import { createRedisLedger } from '../../src/policy/limits/redis/redis-ledger.ts';
import { releaseScript, reserveScript } from '../../src/policy/limits/redis/redis-scripts.ts';
import type { ScriptRunner } from '../../src/store/script-runner.ts';
import type { Claim } from '../../src/session/answer-memory.ts';
import { createRedisAnswers } from '../../src/session/redis-answers.ts';
import {
  claimScript,
  forgetScript,
  giveBackScript,
  rememberScript,
} from '../../src/session/redis-scripts.ts';
import { drawTrail } from './spin.ts';

/** The model's names of the scripts. */
const scriptNames = new Map([
  [claimScript, 'Claim'],
  [rememberScript, 'Remember'],
  [forgetScript, 'Forget'],
  [giveBackScript, 'GiveBack'],
  [reserveScript, 'Reserve'],
  [releaseScript, 'Release'],
]);

/** Who asks what where, as the model's CAST has it. */
const casts: readonly {
  readonly instanceOf: (attempt: number) => number;
  readonly requestOf: (attempt: number) => number;
}[] = [
  { instanceOf: (p) => (p === 1 ? 1 : 0), requestOf: (p) => (p === 3 ? 1 : 0) },
  { instanceOf: (p) => (p === 1 || p === 2 ? 1 : 0), requestOf: (p) => (p === 2 ? 1 : 0) },
  { instanceOf: (p) => (p === 1 || p === 3 ? 1 : 0), requestOf: (p) => (p === 2 ? 1 : 0) },
];

const use = 'ab'.repeat(32);
const requestHashes = ['01'.repeat(32), '02'.repeat(32)];
const ticketSession = 'cd'.repeat(16);
const oneUnit: Spend = { ev: 1n, tickets: 1n, sessions: 0n };
const noUnits: Spend = { ev: 0n, tickets: 0n, sessions: 0n };
const keyPrefix = 'model:';
/** Nothing runs out but what a step lets run out. */
const farMs = 3_600_000;
const patienceMs = 60_000;

type Script = {
  readonly run: () => Promise<unknown>;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly late: (reply: unknown) => void;
  reply?: unknown;
};

type Attempt = {
  readonly abort: AbortController;
  claiming: Promise<Claim>;
  claim?: Extract<Claim, { kind: 'new' }>;
  reserving?: Promise<ReserveOutcome>;
  reservation?: Extract<ReserveOutcome, { kind: 'reserved' }>;
  /** a reply that has come, and takes effect with the attempt's next step, as in the model */
  arrive?: (() => void) | undefined;
  remembering?: Promise<string> | undefined;
  ending?: Promise<void> | undefined;
};

/** What the model's CAST, LIMIT and NONCES are. */
export type ReplayBounds = {
  readonly cast: number;
  readonly limit: bigint;
  readonly nonces: number;
};

/** Replays one run of the model with one to four faults; resolves with the number of its steps. */
export async function replayDrawn(seed: number, redisUrl: string): Promise<number> {
  const cast = seed % casts.length;
  const bounds = { CAST: cast, FAULTS: 1 + (seed % 4), LIMIT: 2, NONCES: 3 };
  const trail = await drawTrail(seed, bounds);
  await replay(trail, { cast, limit: 2n, nonces: 3 }, redisUrl);
  return trail.length;
}

/**
 * Takes the steps of a trail of the model with the real claims and limits, their scripts on a real Redis, and throws at the
 * first step that has another outcome than in the model. The Redis is emptied first: database 0 is the master's, 1 the replica's.
 */
export async function replay(
  trail: readonly string[],
  { cast, limit, nonces }: ReplayBounds,
  redisUrl: string,
): Promise<void> {
  const { instanceOf, requestOf } = at(casts, cast);
  await using client = await connect(redisUrl);
  const send = (...command: string[]): Promise<unknown> => client.send(command);
  const read = async (...command: string[]): Promise<string | null> =>
    (await send(...command)) as string | null;
  await send('FLUSHALL');

  const scripts = new Map<string, PromiseWithResolvers<Script>>();
  const runs = new Map<string, Script>();
  const attempts = new Map<number, Attempt>();
  const signedNonces = new Set<number>();
  const tokens = new Map<string, number>();
  const current = new AsyncLocalStorage<number>();

  function expected(attempt: number, name: string): PromiseWithResolvers<Script> {
    const key = `${attempt} ${name}`;
    const known = scripts.get(key) ?? Promise.withResolvers<Script>();
    scripts.set(key, known);
    return known;
  }

  /** Of which attempt a script is: a claim may be made in the name of the one who waited. */
  function attemptOf(keys: readonly string[], args: readonly string[]): number {
    const [, holder] = keys.flatMap((key) => /:held-nonces:(\d+)$/.exec(key) ?? []);
    const attempt = Number(holder ?? tokens.get(args[1] ?? '') ?? current.getStore());
    if (Number.isNaN(attempt)) throw new Error('nobody knows whose script it is');
    return attempt;
  }

  const redis: ScriptRunner = {
    run(script, keys, args, onLate) {
      const name = scriptNames.get(script) ?? 'unknown';
      const attempt = attemptOf(keys, args);
      if (name === 'Claim') tokens.set(args[1] ?? '', attempt);
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      expected(attempt, name).resolve({
        run: () => send('EVAL', script, `${keys.length}`, ...keys, ...args),
        resolve,
        reject,
        late: (reply) => current.run(attempt, () => onLate?.(reply)),
      });
      return promise;
    },
  };
  const start = () => ({
    answers: createRedisAnswers({
      redis,
      keyPrefix,
      ttlMs: farMs,
      maxBytes: 1_000_000,
      requestDeadlineMs: farMs,
    }),
    ledger: createRedisLedger({ redis, keyPrefix }),
  });
  const instances = [start(), start()];
  const window = {
    ruleId: 'model',
    scope: '',
    windowMs: 24 * farMs,
    limits: { tickets: limit },
    isEnforced: true,
  };

  function begin(p: number): void {
    const abort = new AbortController();
    const claiming = current.run(p, () =>
      at(instances, instanceOf(p)).answers.claim(
        {
          use,
          requestHash: at(requestHashes, requestOf(p)),
          nonces: {
            ticketSession,
            count: 1,
            after: 0,
            limit: nonces,
            lifetimeMs: farMs,
            holder: `${p}`,
          },
          holder: { tenant: '', principal: '' },
        },
        abort.signal,
      ),
    );
    claiming.catch(() => undefined);
    attempts.set(p, { abort, claiming });
  }

  function attemptAt(p: number): Attempt {
    const attempt = attempts.get(p);
    if (!attempt) throw new Error(`attempt ${p} has not begun`);
    return attempt;
  }

  /** The code has sent the script; runs it, and compares what comes of it. */
  async function runScript(p: number, name: string, outcome: readonly string[]): Promise<Script> {
    const script = await expected(p, name).promise;
    scripts.delete(`${p} ${name}`);
    script.reply = await script.run();
    const [reply = '', value, last, masterLast, masterSpent] = outcome;
    const expectedReply = ['new', 'fork', 'usedUp'].includes(reply)
      ? `${reply} ${last}`
      : ['answered', 'earlier'].includes(reply)
        ? `${reply} ${value}`
        : reply;
    same(readReply(name, script.reply), expectedReply);
    const mark = (await read('GET', `${keyPrefix}nonces:${ticketSession}`)) ?? '0';
    same(`mark ${mark.split(' ')[0]}`, `mark ${masterLast}`);
    const counter = `${keyPrefix}spend:${JSON.stringify(['model', '', window.windowMs])}`;
    const total = (await read('HGET', counter, 'total')) ?? '0 0 0 0 0 0';
    same(`spent ${total.split(' ')[3]}`, `spent ${masterSpent}`);
    return script;
  }

  async function copyAll(from: number, to: number): Promise<void> {
    await send('SELECT', `${to}`);
    await send('FLUSHDB');
    await send('SELECT', `${from}`);
    const keys = (await send('KEYS', '*')) as string[];
    for (const key of keys) await send('COPY', key, key, 'DB', `${to}`);
    await send('SELECT', '0');
  }

  async function inBoth(...command: string[]): Promise<void> {
    for (const database of ['1', '0']) {
      await send('SELECT', database);
      await send(...command);
    }
  }

  /** What an attempt does next, once the step tells that its way goes on. */
  function goOn(p: number, step: (attempt: Attempt) => void): void {
    const attempt = attemptAt(p);
    current.run(p, () => step(attempt));
  }

  function forget(p: number, nonces: 'used' | 'unused'): void {
    goOn(p, (attempt) => {
      attempt.ending = attempt.claim?.forget(nonces);
    });
  }

  function arrive(p: number): void {
    const attempt = attempts.get(p);
    attempt?.arrive?.();
    if (attempt) attempt.arrive = undefined;
  }

  async function take(step: string): Promise<void> {
    const [kind = '', subject = '', ...rest] = step.split(' ');
    const p = Number(subject);
    const name = rest[0] ?? '';
    if (ownSteps.has(kind)) arrive(p);
    switch (kind) {
      case 'begins':
        begin(p);
        return;
      case 'waits':
        begin(p);
        await nextTurn();
        same(`sent ${scripts.has(`${p} Claim`)}`, 'sent false');
        return;
      case 'leads':
        await expected(p, 'Claim').promise;
        return;
      case 'leaves':
        attemptAt(p).abort.abort(new Error('left'));
        same(await outcomeOf(attemptAt(p).claiming), 'failed');
        return;
      case 'aborts': {
        attemptAt(p).abort.abort(new Error('aborted'));
        // between two looks at the claim it goes at once, else when it has the answer to the one that it has sent
        const script = await Promise.race([
          expected(p, 'Claim').promise,
          outcomeOf(attemptAt(p).claiming),
        ]);
        scripts.delete(`${p} Claim`);
        if (typeof script === 'object') {
          const reply = await script.run();
          same(readReply('Claim', reply), 'pending');
          script.resolve(reply);
        }
        same(await outcomeOf(attemptAt(p).claiming), 'failed');
        return;
      }
      case 'run':
        runs.set(subject, await runScript(p, name, rest.slice(1)));
        return;
      case 'ack': {
        const script = required(runs.get(subject));
        await copyAll(0, 1);
        attemptAt(p).arrive = () => script.resolve(script.reply);
        if (name === 'Release') forget(p, 'used');
        return;
      }
      case 'lose': {
        const script = required(runs.get(subject));
        if (rest[1] === 'late') script.late(script.reply);
        attemptAt(p).arrive = () => script.reject(new Error('no answer'));
        if (name !== 'Claim') arrive(p);
        if (name === 'Release') forget(p, 'used');
        if (name === 'Remember') await failToRemember(p);
        return;
      }
      case 'giveup': {
        const script = await expected(p, name).promise;
        attemptAt(p).arrive = () => script.reject(new Error('no answer'));
        if (name !== 'Claim') arrive(p);
        if (name === 'Release') forget(p, 'used');
        if (name === 'Remember') await failToRemember(p);
        return;
      }
      case 'stray': {
        const script = await runScript(p, name, rest.slice(1));
        runs.set(`stray ${subject}`, script);
        return;
      }
      case 'late': {
        const script = required(runs.get(`stray ${subject}`));
        script.late(script.reply);
        return;
      }
      case 'silent':
        return;
      case 'claimed': {
        const attempt = attemptAt(p);
        const claim = await attempt.claiming;
        if (claim.kind !== 'new') throw new Error(`the claim of ${p} is ${claim.kind}`);
        attempt.claim = claim;
        const { isFork, nonces: taken } = claim;
        const last = taken && 'lastNonce' in taken ? taken.lastNonce : 'none';
        const found = taken?.kind === 'used-up' ? 'usedUp' : isFork ? 'fork' : 'new';
        same(`${found} ${last}`, rest.join(' '));
        if (found === 'usedUp') forget(p, 'unused');
        else reserve(p);
        return;
      }
      case 'failed':
        same(await outcomeOf(attemptAt(p).claiming), 'failed');
        return;
      case 'reserved': {
        const attempt = attemptAt(p);
        const outcome = await required(attempt.reserving);
        if (outcome.kind !== 'reserved') throw new Error(`the reservation of ${p} was refused`);
        attempt.reservation = outcome;
        return;
      }
      case 'unreserved': {
        const attempt = attemptAt(p);
        if (name === 'aborted') attempt.abort.abort(new Error('aborted'));
        arrive(p);
        const outcome = await required(attempt.reserving).then(
          (reserved) => reserved.kind,
          () => 'failed',
        );
        same(outcome, name === 'exceeded' ? 'exceeded' : 'failed');
        forget(p, 'unused');
        return;
      }
      case 'signed': {
        const nonce = Number(name);
        same(`nonce ${nonceOfClaim(attemptAt(p))}`, `nonce ${nonce}`);
        if (signedNonces.has(nonce)) throw new Error(`nonce ${nonce} is signed twice`);
        signedNonces.add(nonce);
        return;
      }
      case 'stopped':
        goOn(p, (attempt) => {
          void attempt.reservation?.release(name === '1' ? undefined : noUnits);
        });
        return;
      case 'made':
        goOn(p, (attempt) => {
          attempt.remembering = attempt.claim?.remember(answerOf(p + 1));
          attempt.remembering?.catch(() => undefined);
        });
        return;
      case 'sent': {
        const attempt = attemptAt(p);
        const claim = attempt.claim ?? (await attempt.claiming);
        const answer = claim.kind === 'answered' ? claim.answer : await attempt.remembering;
        same(answer ?? 'nothing', answerOf(Number(name)));
        return;
      }
      case 'ended':
        await attemptAt(p).ending;
        return;
      case 'crash':
        instances[p] = start();
        return;
      case 'failover':
        await copyAll(1, 0);
        return;
      case 'expire':
        await expire(subject, Number(name));
        return;
      default:
        throw new Error('no such step');
    }
  }

  function reserve(p: number): void {
    const { ledger } = at(instances, instanceOf(p));
    goOn(p, (attempt) => {
      attempt.reserving = ledger.reserve([window], oneUnit, attempt.abort.signal);
      attempt.reserving.catch(() => undefined);
    });
  }

  async function failToRemember(p: number): Promise<void> {
    same(await outcomeOf(required(attemptAt(p).remembering)), 'failed');
    forget(p, 'used');
  }

  /** As when its time has passed. */
  async function expire(what: string, request: number): Promise<void> {
    const hash = at(requestHashes, request);
    if (what === 'answer') await inBoth('DEL', `${keyPrefix}answer:${use}:${hash}`);
    else {
      const key = `${keyPrefix}use:${use}`;
      const value = (await read('HGET', key, hash)) ?? '';
      const expired = `${value.split(' ')[0]} 1`;
      await inBoth('EVAL', expireScript, '1', key, hash, value, expired);
    }
  }

  for (const [index, step] of trail.entries()) {
    try {
      await within(take(step));
    } catch (error) {
      const means = error instanceof Error ? error.message : String(error);
      const before = trail.slice(0, index + 1).join('\n');
      throw new Error(`${means}; after\n${before}`, { cause: error });
    }
  }
}

/** Steps of an attempt that come after the reply to its script; `unreserved` is told by the abort that comes first. */
const ownSteps = new Set(
  'run giveup leaves aborts claimed failed reserved stopped made sent ended'.split(' '),
);

/** Only the same claim: the replica may have another one. */
const expireScript = `
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return 1
`;

async function connect(url: string) {
  const client = createClient({ url });
  await client.connect();
  return {
    send: (command: string[]): Promise<unknown> => client.sendCommand(command),
    [Symbol.asyncDispose]: () => client.close(),
  };
}

function readReply(name: string, reply: unknown): string {
  const parts: readonly unknown[] = Array.isArray(reply) ? (reply as unknown[]) : [reply];
  const [first, second, third] = parts.map(String);
  switch (name) {
    case 'Claim':
      if (first === 'pending') return first;
      if (first === 'answered') return `answered ${second?.replace('answer ', '')}`;
      return `${second === 'used-up' ? 'usedUp' : first} ${third}`;
    case 'Reserve':
      return first === '1' ? 'reserved' : 'exceeded';
    case 'Remember':
      return parts.length === 0 ? 'own' : `earlier ${first?.replace('answer ', '')}`;
    default:
      return 'done';
  }
}

function nonceOfClaim({ claim }: Attempt): number {
  return claim?.nonces?.kind === 'taken' ? claim.nonces.lastNonce + 1 : NaN;
}

function answerOf(token: number): string {
  return `answer ${token}`;
}

function outcomeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'done',
    () => 'failed',
  );
}

async function within(work: Promise<void>): Promise<void> {
  const over = Promise.withResolvers<never>();
  const timer = setTimeout(() => over.reject(new Error('the code does not go on')), patienceMs);
  await Promise.race([work, over.promise]).finally(() => clearTimeout(timer));
}

function same(actual: string, expected: string): void {
  if (actual !== expected) throw new Error(`the model has “${expected}”, and the code “${actual}”`);
}

function at<Item>(items: readonly Item[], index: number): Item {
  return required(items[index]);
}

function required<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error('the code is not there yet');
  return value;
}
