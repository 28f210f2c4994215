import { expect, it } from 'vitest';
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
