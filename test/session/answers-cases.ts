import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {
  AnswerHolder,
  AnswerMemory,
  Claim,
  NewClaim,
} from '../../src/session/answer-memory.ts';
import type { NonceDemand } from '../../src/session/nonce-demand.ts';

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

/** Whose room the answers take, where a case does not say. */
export const holder: AnswerHolder = { tenant: 'acme', principal: 'acme:alice' };

export const payment = hashOf('a payment');
export const otherPayment = hashOf('another payment');

export function requireNew(claim: Claim) {
  if (claim.kind !== 'new') throw new Error(`already answered: ${claim.answer}`);
  return claim;
}

/** Three nonces of ticket parameters that no other case uses. */
export function newNonces(): NonceDemand {
  const ticketSession = newState().slice(0, 32);
  return { ticketSession, count: 3, after: 0, limit: 500, lifetimeMs: 600_000, holder: 'acme' };
}

function lastNonceOf({ nonces }: NewClaim): number | undefined {
  return nonces?.kind === 'taken' ? nonces.lastNonce : undefined;
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
    const claim = await memories[index % memories.length]?.claim(
      { use: state, requestHash: payment, nonces: undefined, holder },
      signal,
    );
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
      const claim = requireNew(
        await tested.memory.claim(
          { use: state, requestHash: payment, nonces: undefined, holder },
          never,
        ),
      );
      expect(claim.isFork).toBe(false);
      expect(await claim.remember('an answer')).toBe('an answer');
      for (const memory of [tested.memory, tested.other]) {
        const again = await memory.claim(
          { use: state, requestHash: payment, nonces: undefined, holder },
          never,
        );
        expect(again).toEqual({ kind: 'answered', answer: 'an answer' });
      }
    });

    it('tells another request with a used state as a fork, and remembers its answer too', async () => {
      const state = newState();
      await requireNew(
        await tested.memory.claim(
          { use: state, requestHash: payment, nonces: undefined, holder },
          never,
        ),
      ).remember('first');
      const fork = requireNew(
        await tested.other.claim(
          { use: state, requestHash: otherPayment, nonces: undefined, holder },
          never,
        ),
      );
      expect(fork.isFork).toBe(true);
      await fork.remember('second');
      const answers = [payment, otherPayment].map((request) =>
        tested.memory.claim({ use: state, requestHash: request, nonces: undefined, holder }, never),
      );
      expect(await Promise.all(answers)).toMatchObject([{ answer: 'first' }, { answer: 'second' }]);
    });

    it('tells a fork also while the first request is under way, and lets neither wait', async () => {
      const state = newState();
      const first = requireNew(
        await tested.memory.claim(
          { use: state, requestHash: payment, nonces: undefined, holder },
          never,
        ),
      );
      const second = requireNew(
        await tested.other.claim(
          { use: state, requestHash: otherPayment, nonces: undefined, holder },
          never,
        ),
      );
      expect([first.isFork, second.isFork]).toEqual([false, true]);
      await Promise.all([first.forget('unused'), second.forget('unused')]);
    });

    it('takes a state for unused after a request that came to nothing', async () => {
      const state = newState();
      const first = requireNew(
        await tested.memory.claim(
          { use: state, requestHash: payment, nonces: undefined, holder },
          never,
        ),
      );
      await first.forget('unused');
      await first.forget('unused');
      const other = requireNew(
        await tested.other.claim(
          { use: state, requestHash: otherPayment, nonces: undefined, holder },
          never,
        ),
      );
      expect(other.isFork).toBe(false);
      await other.forget('unused');
    });

    it('lets the same request wait for the one under way, and gives it the answer', async () => {
      const state = newState();
      const first = requireNew(
        await tested.memory.claim(
          { use: state, requestHash: payment, nonces: undefined, holder },
          never,
        ),
      );
      const waiting = [tested.memory, tested.other].map((memory) =>
        memory.claim({ use: state, requestHash: payment, nonces: undefined, holder }, never),
      );
      await first.remember('the answer');
      for (const claim of await Promise.all(waiting)) {
        expect(claim).toEqual({ kind: 'answered', answer: 'the answer' });
      }
    });

    it('lets one of those who wait take over when the first comes to nothing', async () => {
      const state = newState();
      const first = requireNew(
        await tested.memory.claim(
          { use: state, requestHash: payment, nonces: undefined, holder },
          never,
        ),
      );
      const second = tested.memory.claim(
        { use: state, requestHash: payment, nonces: undefined, holder },
        never,
      );
      const third = tested.memory.claim(
        { use: state, requestHash: payment, nonces: undefined, holder },
        never,
      );
      await first.forget('unused');
      const leader = requireNew(await second);
      expect(leader.isFork).toBe(false);
      await leader.remember('the second one’s');
      expect(await third).toEqual({ kind: 'answered', answer: 'the second one’s' });
      await first.forget('unused');
      expect(
        await tested.memory.claim(
          { use: state, requestHash: payment, nonces: undefined, holder },
          never,
        ),
      ).toMatchObject({ kind: 'answered' });
    });

    it('ends a wait with its signal, and goes on without whoever left', async () => {
      const state = newState();
      const first = requireNew(
        await tested.memory.claim(
          { use: state, requestHash: payment, nonces: undefined, holder },
          never,
        ),
      );
      const leaving = new AbortController();
      const left = tested.memory.claim(
        { use: state, requestHash: payment, nonces: undefined, holder },
        leaving.signal,
      );
      const late = tested.other.claim(
        { use: state, requestHash: payment, nonces: undefined, holder },
        AbortSignal.timeout(100),
      );
      const staying = tested.memory.claim(
        { use: state, requestHash: payment, nonces: undefined, holder },
        never,
      );
      leaving.abort(new Error('the client has gone away'));
      await expect(left).rejects.toMatchObject({ code: 'REQUEST_ABORTED' });
      await expect(late).rejects.toMatchObject({ code: 'PROVIDER_TIMEOUT' });
      await first.forget('unused');
      await requireNew(await staying).remember('an answer');
    });

    it('claims nothing for a request that has ended', async () => {
      const state = newState();
      const gone = AbortSignal.abort(new Error('the client has gone away'));
      await expect(
        tested.memory.claim({ use: state, requestHash: payment, nonces: undefined, holder }, gone),
      ).rejects.toMatchObject({
        code: 'REQUEST_ABORTED',
      });
      const claim = requireNew(
        await tested.other.claim(
          { use: state, requestHash: otherPayment, nonces: undefined, holder },
          never,
        ),
      );
      expect(claim.isFork).toBe(false);
      await claim.forget('unused');
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
        const claim = requireNew(
          await tested.memory.claim(
            { use: state, requestHash: payment, nonces: undefined, holder },
            signal,
          ),
        );
        await claim.forget('unused');
        return claim.isFork;
      };
      const forks = await Promise.all(Array.from({ length: 2_000 }, tryOnce));
      expect(forks.filter((isFork) => isFork)).toEqual([]);
    });

    it('gives each request nonces of its own, with a state or without, from whichever instance', async () => {
      const nonces = newNonces();
      const requests = [undefined, newState(), undefined, newState()].map((use, index) =>
        (index % 2 === 0 ? tested.memory : tested.other).claim(
          { use, requestHash: payment, nonces, holder },
          never,
        ),
      );
      const claims = (await Promise.all(requests)).map(requireNew);
      expect(claims.map((claim) => lastNonceOf(claim)).sort()).toEqual([0, 3, 6, 9]);
      await Promise.all(claims.map((claim) => claim.remember('an answer')));
    });

    it('takes no nonces for a request that was answered', async () => {
      const nonces = newNonces();
      const request = { use: newState(), requestHash: payment, nonces, holder };
      await requireNew(await tested.memory.claim(request, never)).remember('an answer');
      await tested.other.claim(request, never);
      const next = requireNew(await tested.other.claim({ ...request, use: undefined }, never));
      expect(lastNonceOf(next)).toBe(3);
    });

    it('hands out again nonces that were not used, and no others', async () => {
      const request = { use: undefined, requestHash: payment, nonces: newNonces(), holder };
      const claim = async () => requireNew(await tested.memory.claim(request, never));
      await (await claim()).forget('unused');
      const used = await claim();
      const afterUsed = await tested.other
        .claim({ ...request, use: newState() }, never)
        .then(requireNew);
      await used.forget('used');
      await afterUsed.forget('unused');
      expect([used, afterUsed, await claim()].map(lastNonceOf)).toEqual([0, 3, 3]);
      const continued = { ...request, nonces: { ...request.nonces, after: 6 } };
      await requireNew(await tested.memory.claim(continued, never)).forget('unused');
      expect(lastNonceOf(await claim())).toBe(6);
    });

    it('hands out again no nonces that a payment with a state has used', async () => {
      const nonces = newNonces();
      const claim = async (use: string | undefined) =>
        requireNew(await tested.memory.claim({ use, requestHash: payment, nonces, holder }, never));
      const used = await claim(newState());
      await used.forget('used');
      const unused = await claim(newState());
      await unused.forget('unused');
      const taken = [used, unused, await claim(newState())];
      expect(taken.map(lastNonceOf)).toEqual([0, 3, 3]);
    });

    it('goes on above what the books know, and stops at the limit', async () => {
      const nonces = { ...newNonces(), after: 498 };
      const request = { use: undefined, requestHash: payment, nonces, holder };
      const claim = async () => requireNew(await tested.memory.claim(request, never)).nonces;
      expect(await claim()).toMatchObject({ kind: 'taken', lastNonce: 498 });
      expect(await claim()).toEqual({ kind: 'used-up', lastNonce: 501 });
      const atLimit = { ...newNonces(), after: 500 };
      const none = requireNew(await tested.memory.claim({ ...request, nonces: atLimit }, never));
      expect(none.nonces).toEqual({ kind: 'used-up', lastNonce: 500 });
    });

    it('is healthy', async () => {
      await expect(tested.memory.checkHealth()).resolves.toBeUndefined();
    });
  });
}

/** Cases for a memory with room for about 60 answers of 1,000 characters. */
export function describeSharedRoom(name: string, open: () => Promise<AnswersUnderTest>): void {
  describe(name, () => {
    let tested: AnswersUnderTest;
    beforeAll(async () => {
      tested = await open();
    });
    afterAll(() => tested[Symbol.asyncDispose]());

    const answer = async (holder: AnswerHolder): Promise<string> => {
      const use = newState();
      const request = { use, requestHash: payment, nonces: undefined, holder };
      await requireNew(await tested.memory.claim(request, never)).remember('x'.repeat(1_000));
      return use;
    };
    const isKept = async (use: string): Promise<boolean> => {
      const request = { use, requestHash: payment, nonces: undefined, holder };
      const claim = await tested.other.claim(request, never);
      if (claim.kind === 'new') await claim.forget('unused');
      return claim.kind === 'answered';
    };
    const countKept = async (uses: readonly string[]): Promise<number> =>
      (await Promise.all(uses.map(isKept))).filter((kept) => kept).length;
    const answers = async (count: number, holder: AnswerHolder): Promise<string[]> => {
      const uses: string[] = [];
      for (let index = 0; index < count; index += 1) uses.push(await answer(holder));
      return uses;
    };

    it('forgets answers of the tenant that floods it, and of no other', async () => {
      const modest = await answers(3, { tenant: 'modest', principal: 'modest:1' });
      const greedy = await answers(200, { tenant: 'greedy', principal: 'greedy:1' });
      const late = await answers(3, { tenant: 'late', principal: 'late:1' });
      expect(await countKept(modest)).toBe(3);
      expect(await countKept(late)).toBe(3);
      const kept = await countKept(greedy);
      expect(kept).toBeGreaterThan(30);
      expect(kept).toBeLessThan(60);
      // its latest ones
      expect(await countKept(greedy.slice(-kept))).toBe(kept);
    });

    it('does so too where the tenant has many principals', async () => {
      const modest = await answers(3, { tenant: 'frugal', principal: 'frugal:1' });
      for (let index = 0; index < 200; index += 1) {
        await answer({ tenant: 'greedy', principal: `greedy:${index}` });
      }
      expect(await countKept(modest)).toBe(3);
    });

    it('forgets answers of the principal that floods it, and of no other of its tenant', async () => {
      const tenant = 'acme';
      const modest = await answers(3, { tenant, principal: 'acme:modest' });
      await answers(200, { tenant, principal: 'acme:greedy' });
      expect(await countKept(modest)).toBe(3);
    });

    it('does so too where there is no tenant', async () => {
      const modest = await answers(3, { tenant: '', principal: 'alone' });
      await answers(200, { tenant: '', principal: 'crowd' });
      expect(await countKept(modest)).toBe(3);
    });
  });
}
