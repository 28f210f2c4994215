import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { RecordsError } from '../../src/errors.ts';
import type { AnswerMemory, Claim, NewClaim } from '../../src/session/answer-memory.ts';
import { shareClaims } from '../../src/session/shared-claims.ts';
import { holder, never, otherPayment, payment, requireNew } from './answers-cases.ts';

const request = { use: 'a state', requestHash: payment, nonces: undefined, holder };

/** A memory whose remembering the case ends, and the claims that were made of it. */
function open() {
  const claims: string[] = [];
  const forgotten: string[] = [];
  let remembering = Promise.withResolvers<string>();
  const memory: AnswerMemory = shareClaims({
    claim: ({ use, requestHash }) => {
      claims.push(`${use} ${requestHash}`);
      const claim: NewClaim = {
        kind: 'new',
        isFork: false,
        nonces: undefined,
        remember: () => remembering.promise,
        forget: (nonces) => {
          forgotten.push(nonces);
          return Promise.resolve();
        },
      };
      return Promise.resolve<Claim>(claim);
    },
    checkHealth: () => Promise.resolve(),
  });
  return {
    memory,
    claims,
    forgotten,
    keep: (answer: string): void => remembering.resolve(answer),
    fail: (error: Error): void => {
      remembering.reject(error);
      remembering = Promise.withResolvers();
    },
  };
}

/** Everything that is going to happen without the memory has happened. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('nobody is told an answer before it is remembered', async () => {
  const { memory, claims, keep } = open();
  const first = requireNew(await memory.claim(request, never));
  const told: string[] = [];
  const waiting = memory.claim(request, never).then((claim) => {
    told.push('who waits');
    return claim;
  });
  const made = first.remember('made').then((answer) => {
    told.push('who made it');
    return answer;
  });
  await settle();
  expect(told).toEqual([]);
  keep('the earlier one');
  expect(await made).toBe('the earlier one');
  expect(await waiting).toEqual({ kind: 'answered', answer: 'the earlier one' });
  expect(claims).toHaveLength(1);
});

it('nobody is told an answer that could not be remembered: the next in line makes one', async () => {
  const { memory, claims, forgotten, fail, keep } = open();
  const first = requireNew(await memory.claim(request, never));
  const [second, third] = [memory.claim(request, never), memory.claim(request, never)];
  const made = first.remember('lost');
  fail(new RecordsError('ANSWERS_UNAVAILABLE', 'gone'));
  await expect(made).rejects.toMatchObject({ code: 'ANSWERS_UNAVAILABLE' });
  await first.forget('used');
  expect(forgotten).toEqual(['used']);
  const next = requireNew(await second);
  keep('kept');
  expect(await next.remember('kept')).toBe('kept');
  expect(await third).toEqual({ kind: 'answered', answer: 'kept' });
  expect(claims).toHaveLength(2);
});

it('a claim that is over forgets nothing more, whoever has it by now', async () => {
  const { memory, forgotten, keep } = open();
  const first = requireNew(await memory.claim(request, never));
  const waiting = memory.claim(request, never);
  const last = memory.claim(request, never);
  await first.forget('unused');
  const second = requireNew(await waiting);
  await first.forget('unused');
  await settle();
  expect(forgotten).toEqual(['unused']);
  keep('kept');
  await second.remember('kept');
  await second.forget('unused');
  expect(await last).toEqual({ kind: 'answered', answer: 'kept' });
  expect(forgotten).toEqual(['unused']);
});

it('only the same request with the same state waits', async () => {
  const { memory, claims } = open();
  const others = [
    request,
    { ...request, requestHash: otherPayment },
    { ...request, use: 'another state' },
    { ...request, use: undefined },
    { ...request, use: undefined },
  ];
  for (const other of others) requireNew(await memory.claim(other, never));
  expect(claims).toHaveLength(5);
});

it('who waits no longer is told why, and nobody keeps a signal that outlives the claim', async () => {
  const { memory, keep } = open();
  const first = requireNew(await memory.claim(request, never));
  const leaving = new AbortController();
  const left = memory.claim(request, leaving.signal);
  const late = memory.claim(request, AbortSignal.abort(new DOMException('late', 'TimeoutError')));
  await expect(late).rejects.toMatchObject({
    code: 'PROVIDER_TIMEOUT',
    message: 'the same request, which is under way, did not answer before the deadline',
  });
  leaving.abort();
  await expect(left).rejects.toMatchObject({
    code: 'REQUEST_ABORTED',
    message: 'nobody waits for the same request, which is under way, any more',
  });
  const { signal } = new AbortController();
  const staying = memory.claim(request, signal);
  keep('kept');
  await first.remember('kept');
  expect(await staying).toEqual({ kind: 'answered', answer: 'kept' });
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

/** A memory that does with each claim what the next of `outcomes` does, and then gives an answer. */
function openWith(...outcomes: readonly (() => Promise<Claim>)[]) {
  const left = [...outcomes];
  const asked: AbortSignal[] = [];
  const memory = shareClaims({
    claim: (_, signal) => {
      asked.push(signal);
      return left.shift()?.() ?? Promise.resolve({ kind: 'answered', answer: 'an answer' });
    },
    checkHealth: () => Promise.reject(new Error('ill')),
  });
  return { memory, asked };
}

it.each([
  new Error('the client has gone away'),
  new RecordsError('LEDGER_UNAVAILABLE', 'of one request alone'),
])(
  'what fails one claim alone leaves the next in line to make its own, by its own signal: %s',
  async (failure) => {
    const { memory, asked } = openWith(() => Promise.reject(failure));
    const signals = [0, 1, 2].map(() => new AbortController().signal);
    const claims = signals.map((signal) => memory.claim(request, signal));
    await expect(claims[0]).rejects.toBe(failure);
    const answered = { kind: 'answered', answer: 'an answer' };
    expect(await Promise.all(claims.slice(1))).toEqual([answered, answered]);
    expect(asked).toEqual(signals.slice(0, 2));
    expect(await memory.claim(request, never)).toEqual(answered);
    await expect(memory.checkHealth()).rejects.toThrow('ill');
  },
);

it('a memory that can’t be reached fails all who wait with the same error, and is asked anew by who comes then', async () => {
  const failure = new RecordsError('ANSWERS_UNAVAILABLE', 'gone');
  const { memory, asked } = openWith(() => Promise.reject(failure));
  const claims = [0, 1, 2].map(() => memory.claim(request, never));
  for (const claim of claims) await expect(claim).rejects.toBe(failure);
  expect(asked).toHaveLength(1);
  expect(await memory.claim(request, never)).toMatchObject({ answer: 'an answer' });
  expect(asked).toHaveLength(2);
});

it('a claim that failed with nobody in line leaves no line behind', async () => {
  const { memory, asked } = openWith(() => Promise.reject(new Error('gone')));
  await expect(memory.claim(request, never)).rejects.toThrow('gone');
  expect(await memory.claim(request, never)).toMatchObject({ answer: 'an answer' });
  expect(asked).toHaveLength(2);
});
