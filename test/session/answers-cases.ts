import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AnswerMemory, Claim } from '../../src/session/answer-memory.ts';

export type AnswersUnderTest = AsyncDisposable & {
  readonly memory: AnswerMemory;
  /** what another instance with the same store has; the same one where nothing is shared */
  readonly other: AnswerMemory;
};

export const never = new AbortController().signal;

export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

let states = 0;

/** A state that no other case uses. */
export function newState(): string {
  states += 1;
  return hashOf(`state ${states}`);
}

export const payment = hashOf('a payment');
export const otherPayment = hashOf('another payment');

export function requireNew(claim: Claim) {
  if (claim.kind !== 'new') throw new Error(`already answered: ${claim.answer}`);
  return claim;
}

/** Makes the same claim many times at once, and answers as whoever makes a payment would. */
export async function storm(
  memories: readonly AnswerMemory[],
  state: string,
  size: number,
): Promise<{ readonly leaders: number; readonly answers: readonly string[] }> {
  let leaders = 0;
  const answerOne = async (_: unknown, index: number): Promise<string> => {
    const { signal } = new AbortController();
    const claim = await memories[index % memories.length]?.claim(state, payment, signal);
    if (claim?.kind !== 'new') return claim?.answer ?? '';
    leaders += 1;
    await new Promise((resolve) => setTimeout(resolve, 20));
    return claim.remember(`the answer of ${index}`);
  };
  const answers = await Promise.all(Array.from({ length: size }, answerOne));
  return { leaders, answers };
}

/** What every memory of answers must do. */
export function describeAnswers(name: string, open: () => Promise<AnswersUnderTest>): void {
  describe(`${name}, as any`, () => {
    let tested: AnswersUnderTest;
    beforeAll(async () => {
      tested = await open();
    });
    afterAll(() => tested[Symbol.asyncDispose]());

    it('gives the same request the same answer', async () => {
      const state = newState();
      const claim = requireNew(await tested.memory.claim(state, payment, never));
      expect(claim.isFork).toBe(false);
      expect(await claim.remember('an answer')).toBe('an answer');
      for (const memory of [tested.memory, tested.other]) {
        const again = await memory.claim(state, payment, never);
        expect(again).toEqual({ kind: 'answered', answer: 'an answer' });
      }
    });

    it('tells another request with a used state as a fork, and remembers its answer too', async () => {
      const state = newState();
      await requireNew(await tested.memory.claim(state, payment, never)).remember('first');
      const fork = requireNew(await tested.other.claim(state, otherPayment, never));
      expect(fork.isFork).toBe(true);
      await fork.remember('second');
      const answers = [payment, otherPayment].map((request) =>
        tested.memory.claim(state, request, never),
      );
      expect(await Promise.all(answers)).toMatchObject([{ answer: 'first' }, { answer: 'second' }]);
    });

    it('tells a fork also while the first request is under way, and lets neither wait', async () => {
      const state = newState();
      const first = requireNew(await tested.memory.claim(state, payment, never));
      const second = requireNew(await tested.other.claim(state, otherPayment, never));
      expect([first.isFork, second.isFork]).toEqual([false, true]);
      await Promise.all([first.forget(), second.forget()]);
    });

    it('takes a state for unused after a request that came to nothing', async () => {
      const state = newState();
      const first = requireNew(await tested.memory.claim(state, payment, never));
      await first.forget();
      await first.forget();
      const other = requireNew(await tested.other.claim(state, otherPayment, never));
      expect(other.isFork).toBe(false);
      await other.forget();
    });

    it('lets the same request wait for the one under way, and gives it the answer', async () => {
      const state = newState();
      const first = requireNew(await tested.memory.claim(state, payment, never));
      const waiting = [tested.memory, tested.other].map((memory) =>
        memory.claim(state, payment, never),
      );
      await first.remember('the answer');
      for (const claim of await Promise.all(waiting)) {
        expect(claim).toEqual({ kind: 'answered', answer: 'the answer' });
      }
    });

    it('lets one of those who wait take over when the first comes to nothing', async () => {
      const state = newState();
      const first = requireNew(await tested.memory.claim(state, payment, never));
      const second = tested.memory.claim(state, payment, never);
      const third = tested.memory.claim(state, payment, never);
      await first.forget();
      const leader = requireNew(await second);
      expect(leader.isFork).toBe(false);
      await leader.remember('the second one’s');
      expect(await third).toEqual({ kind: 'answered', answer: 'the second one’s' });
      await first.forget();
      expect(await tested.memory.claim(state, payment, never)).toMatchObject({ kind: 'answered' });
    });

    it('ends a wait with its signal, and goes on without whoever left', async () => {
      const state = newState();
      const first = requireNew(await tested.memory.claim(state, payment, never));
      const leaving = new AbortController();
      const left = tested.memory.claim(state, payment, leaving.signal);
      const late = tested.other.claim(state, payment, AbortSignal.timeout(100));
      const staying = tested.memory.claim(state, payment, never);
      leaving.abort(new Error('the client has gone away'));
      await expect(left).rejects.toMatchObject({ code: 'REQUEST_ABORTED' });
      await expect(late).rejects.toMatchObject({ code: 'PROVIDER_TIMEOUT' });
      await first.forget();
      await requireNew(await staying).remember('an answer');
    });

    it('claims nothing for a request that has ended', async () => {
      const state = newState();
      const gone = AbortSignal.abort(new Error('the client has gone away'));
      await expect(tested.memory.claim(state, payment, gone)).rejects.toMatchObject({
        code: 'REQUEST_ABORTED',
      });
      const claim = requireNew(await tested.other.claim(state, otherPayment, never));
      expect(claim.isFork).toBe(false);
      await claim.forget();
    });

    it('has one of 10,000 requests at once make the answer, and gives it to all', async () => {
      const { leaders, answers } = await storm([tested.memory, tested.other], newState(), 10_000);
      expect(leaders).toBe(1);
      expect(answers).toHaveLength(10_000);
      expect(new Set(answers).size).toBe(1);
      expect(answers[0]).toMatch('the answer of');
    });

    it('lets 2,000 who all fail have their turn', async () => {
      const state = newState();
      const tryOnce = async (): Promise<boolean> => {
        const { signal } = new AbortController();
        const claim = requireNew(await tested.memory.claim(state, payment, signal));
        await claim.forget();
        return claim.isFork;
      };
      const forks = await Promise.all(Array.from({ length: 2_000 }, tryOnce));
      expect(forks.filter((isFork) => isFork)).toEqual([]);
    });

    it('is healthy', async () => {
      await expect(tested.memory.checkHealth()).resolves.toBeUndefined();
    });
  });
}
