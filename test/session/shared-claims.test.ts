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
