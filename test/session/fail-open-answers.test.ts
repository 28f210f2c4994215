import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { RecordsError } from '../../src/errors.ts';
import type { AnswerMemory, Claim, UseRequest } from '../../src/session/answer-memory.ts';
import { failOpenAnswers } from '../../src/session/fail-open-answers.ts';
import { holder, never, newNonces, payment, requireNew } from './answers-cases.ts';

/** A memory that can be away, and that knows of no nonce but those of the question. */
function open() {
  const asked: UseRequest[] = [];
  const lines: Record<string, unknown>[] = [];
  const state: { failure: Error | undefined } = { failure: undefined };
  const memory: AnswerMemory = {
    claim: (request) => {
      asked.push(request);
      if (state.failure) return Promise.reject(state.failure);
      const { nonces } = request;
      return Promise.resolve<Claim>({
        kind: 'new',
        isFork: true,
        nonces: nonces && { kind: 'taken', lastNonce: nonces.after, isFirst: true },
        remember: (answer) =>
          state.failure ? Promise.reject(state.failure) : Promise.resolve(`${answer}, kept`),
        forget: () => Promise.resolve(),
      });
    },
    checkHealth: () => (state.failure ? Promise.reject(state.failure) : Promise.resolve()),
  };
  const lenient = failOpenAnswers(memory, (level, message, fields) =>
    lines.push({ level, message, ...fields }),
  );
  return { lenient, asked, lines, state };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
  vi.advanceTimersByTime(1_000_000);
});
afterEach(() => {
  vi.useRealTimers();
});

const away = (details?: string) =>
  new RecordsError(
    'ANSWERS_UNAVAILABLE',
    'Redis is away',
    details === undefined ? {} : { details },
  );

it('while its memory is away, a process hands out no nonce twice, nor afterwards', async () => {
  const { lenient, asked, state } = open();
  const nonces = newNonces();
  const take = async (after = 0) => {
    const claim = requireNew(
      await lenient.claim(
        { use: undefined, requestHash: payment, nonces: { ...nonces, after }, holder },
        never,
      ),
    );
    return claim.nonces?.kind === 'taken' ? claim.nonces.lastNonce : undefined;
  };
  expect(await take()).toBe(0);
  state.failure = away();
  expect(await take()).toBe(3);
  expect(await take()).toBe(6);
  expect(await take(20)).toBe(20);
  state.failure = undefined;
  // the memory knows of none of them, for it was away or has lost them
  expect(await take()).toBe(23);
  expect(asked.at(-1)?.nonces).toEqual({ ...nonces, after: 23 });
  expect(await take(100)).toBe(100);
});

it('says at most each five seconds why, and passes on what is no absence', async () => {
  const { lenient, lines, state } = open();
  const request = { use: undefined, requestHash: payment, nonces: undefined, holder };
  state.failure = away('connection lost');
  const claim = requireNew(await lenient.claim(request, never));
  expect(claim).toMatchObject({ isFork: false, nonces: undefined });
  expect(await claim.remember('a')).toBe('a');
  await claim.forget('unused');
  await lenient.claim(request, never);
  expect(lines).toEqual([
    {
      level: 'warn',
      message: 'payments go on without a memory of answers',
      reason: 'Redis is away',
      details: 'connection lost',
    },
  ]);
  vi.advanceTimersByTime(4_999);
  await lenient.claim(request, never);
  expect(lines).toHaveLength(1);
  vi.advanceTimersByTime(1);
  state.failure = away('still lost');
  await lenient.claim(request, never);
  await lenient.claim(request, never);
  expect(lines.map(({ details }) => details)).toEqual(['connection lost', 'still lost']);
  state.failure = new Error('a mistake');
  await expect(lenient.claim(request, never)).rejects.toThrow('a mistake');
  state.failure = new RecordsError('LEDGER_UNAVAILABLE', 'something else');
  await expect(lenient.claim(request, never)).rejects.toThrow('something else');
});

it('an answer that could not be kept is sent, and one that was is the memory’s', async () => {
  const { lenient, state } = open();
  const request = { use: undefined, requestHash: payment, nonces: undefined, holder };
  const kept = requireNew(await lenient.claim(request, never));
  expect(kept.isFork).toBe(true);
  expect(await kept.remember('a')).toBe('a, kept');
  const lost = requireNew(await lenient.claim(request, never));
  state.failure = away();
  expect(await lost.remember('a')).toBe('a');
  const failed = requireNew(await lenient.claim(request, never));
  expect(await failed.remember('b')).toBe('b');
  for (const failure of [new Error('a mistake'), away('Redis answered OOM')]) {
    state.failure = undefined;
    const refused = requireNew(await lenient.claim(request, never));
    state.failure = failure;
    await expect(refused.remember('c')).rejects.toBe(failure);
  }
});

it('says why at once, however short the time since start', async () => {
  vi.useRealTimers();
  vi.useFakeTimers({ toFake: ['performance'] });
  const { lenient, lines, state } = open();
  state.failure = away();
  await lenient.claim({ use: undefined, requestHash: payment, nonces: undefined, holder }, never);
  expect(lines).toHaveLength(1);
});

it('a claim without the memory ends in promises, as any other does, and has nonces where it asked for them', async () => {
  const { lenient, state } = open();
  state.failure = away();
  const request = { use: undefined, requestHash: payment, holder };
  const claim = requireNew(await lenient.claim({ ...request, nonces: newNonces() }, never));
  expect(claim.nonces).toEqual({ kind: 'taken', lastNonce: 0, isFirst: true });
  expect(claim.forget('unused')).toBeInstanceOf(Promise);
  expect(claim.remember('a')).toBeInstanceOf(Promise);
  await expect(lenient.checkHealth()).rejects.toBe(state.failure);
  state.failure = undefined;
  expect(lenient.checkHealth()).toBeInstanceOf(Promise);
});

it('an answer is the memory’s also where that can be reached for nothing else', async () => {
  const answered: AnswerMemory = {
    claim: () => Promise.resolve({ kind: 'answered', answer: 'an answer' }),
    checkHealth: () => Promise.reject(away()),
  };
  const lenient = failOpenAnswers(answered, () => undefined);
  const request = { use: 'a state', requestHash: payment, nonces: newNonces(), holder };
  expect(await lenient.claim(request, never)).toEqual({ kind: 'answered', answer: 'an answer' });
});

it('nonces that the memory would not give are taken from nowhere else', async () => {
  const outcomes = [{ kind: 'no-room' }, { kind: 'used-up', lastNonce: 500 }] as const;
  for (const nonces of outcomes) {
    const asked: UseRequest[] = [];
    const refusing: AnswerMemory = {
      claim: (request) => {
        asked.push(request);
        return Promise.resolve({
          kind: 'new',
          isFork: false,
          nonces,
          remember: (answer) => Promise.resolve(answer),
          forget: () => Promise.resolve(),
        });
      },
      checkHealth: () => Promise.resolve(),
    };
    const lenient = failOpenAnswers(refusing, () => undefined);
    const request = { use: undefined, requestHash: payment, nonces: newNonces(), holder };
    expect(requireNew(await lenient.claim(request, never)).nonces).toEqual(nonces);
    expect(requireNew(await lenient.claim(request, never)).nonces).toEqual(nonces);
    expect(asked.map((one) => one.nonces?.after)).toEqual([0, 0]);
  }
});
