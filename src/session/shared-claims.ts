import { isSignerError } from '../errors.ts';
import { describeAbort } from '../keys/describe-abort.ts';
import type { AnswerMemory, Claim, UseRequest } from './answer-memory.ts';

/** A request that waits for the outcome of another one's claim; `lead` makes it claim for itself. */
type Waiter = {
  readonly lead: () => Promise<Claim>;
  readonly settle: (claim: Claim | Promise<Claim>) => void;
};

const waitName = 'the same request, which is under way,';

/**
 * Queues equal requests of this process: one at a time has a claim to `memory`, and the others wait for its outcome. However many
 * wait, an outcome costs only as much as the number of requests that learn of it.
 */
export function shareClaims(memory: AnswerMemory): AnswerMemory {
  const lines = new Map<string, Set<Waiter>>();

  function tellAll(key: string, outcome: () => Promise<Claim>): void {
    const line = lines.get(key);
    lines.delete(key);
    for (const { settle } of line ?? []) settle(outcome());
  }

  function passOn(key: string): void {
    const line = lines.get(key);
    for (const next of line ?? []) {
      line?.delete(next);
      next.settle(next.lead());
      return;
    }
    lines.delete(key);
  }

  async function lead(key: string, request: UseRequest, signal: AbortSignal): Promise<Claim> {
    const claim = await memory.claim(request, signal).catch((error: unknown) => {
      if (isSignerError(error) && error.code === 'ANSWERS_UNAVAILABLE') {
        tellAll(key, () => Promise.reject(error));
      } else passOn(key);
      throw error;
    });
    if (claim.kind === 'answered') {
      tellAll(key, () => Promise.resolve(claim));
      return claim;
    }
    let isOver = false;
    return {
      ...claim,
      async remember(made) {
        const answer = await claim.remember(made);
        isOver = true;
        tellAll(key, () => Promise.resolve({ kind: 'answered', answer }));
        return answer;
      },
      async forget(nonces) {
        if (isOver) return;
        isOver = true;
        await claim.forget(nonces);
        passOn(key);
      },
    };
  }

  return {
    ...memory,
    claim(request, signal) {
      if (signal.aborted) return Promise.reject(describeAbort(waitName, signal));
      const { use, requestHash } = request;
      if (use === undefined) return memory.claim(request, signal);
      const key = use + requestHash;
      const claimNow = (): Promise<Claim> => lead(key, request, signal);
      const line = lines.get(key);
      if (line) return wait(line, claimNow, signal);
      lines.set(key, new Set());
      return claimNow();
    },
  };
}

function wait(line: Set<Waiter>, lead: () => Promise<Claim>, signal: AbortSignal): Promise<Claim> {
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      line.delete(waiter);
      reject(describeAbort(waitName, signal));
    };
    const waiter: Waiter = {
      lead,
      settle: (claim) => {
        signal.removeEventListener('abort', leave);
        resolve(claim);
      },
    };
    signal.addEventListener('abort', leave, { once: true });
    line.add(waiter);
  });
}
