import type { AnswerMemory, Claim, UseRequest } from './answer-memory.ts';
import { KeptAnswers } from './kept-answers.ts';
import { NonceMarks } from './nonce-marks.ts';
import { shareClaims } from './shared-claims.ts';

export type MemoryAnswersOptions = {
  /** how long an answer is kept, unless its room is needed earlier */
  readonly ttlMs: number;
  /** the bytes of memory for answers and marks together */
  readonly maxBytes: number;
  /** a monotonic clock in milliseconds */
  readonly nowMs: () => number;
};

/** Bytes that the mark of a used state takes. */
const markBytes = 96;

/**
 * The answer memory of one process. A quarter of it is for marks, which remember that a state was used after its answer is
 * forgotten: for one to two times `ttlMs`.
 */
export function createMemoryAnswers(options: MemoryAnswersOptions): AnswerMemory {
  const answers = new KeptAnswers({ ...options, maxBytes: Math.floor(options.maxBytes * 0.75) });
  const marks = new Marks(options);
  const nonceMarks = new NonceMarks(options);
  /** how many different requests with the same state are under way */
  const underWay = new Map<string, number>();

  function begin(use: string | undefined): () => void {
    if (use === undefined) return () => undefined;
    underWay.set(use, (underWay.get(use) ?? 0) + 1);
    let hasEnded = false;
    return () => {
      if (hasEnded) return;
      hasEnded = true;
      const others = (underWay.get(use) ?? 1) - 1;
      if (others === 0) underWay.delete(use);
      else underWay.set(use, others);
    };
  }

  function claim({ use, requestHash, nonces: demand, holder }: UseRequest): Claim {
    const key = use === undefined ? undefined : use + requestHash;
    const answer = key === undefined ? undefined : answers.get(key);
    if (answer !== undefined) return { kind: 'answered', answer };
    const isFork = use !== undefined && (underWay.has(use) || marks.has(use));
    const end = begin(use);
    const nonces = demand && nonceMarks.take(demand);
    let isOver = false;
    return {
      kind: 'new',
      isFork,
      nonces,
      remember(made) {
        isOver = true;
        end();
        if (use !== undefined) marks.add(use);
        if (key !== undefined) answers.add(key, made, holder);
        return Promise.resolve(made);
      },
      forget(state) {
        if (!isOver && demand && nonces && state === 'unused') nonceMarks.giveBack(demand, nonces);
        isOver = true;
        end();
        return Promise.resolve();
      },
    };
  }

  return shareClaims({
    claim: (request) => Promise.resolve(claim(request)),
    checkHealth: () => Promise.resolve(),
  });
}

/** The first 16 bytes of the hashes of used states, in two generations, of which the older one is dropped as a whole. */
class Marks {
  readonly #ttlMs: number;
  readonly #maxSize: number;
  readonly #nowMs: () => number;
  #current = new Set<string>();
  #previous = new Set<string>();
  #startedMs: number;

  constructor({ ttlMs, maxBytes, nowMs }: MemoryAnswersOptions) {
    this.#ttlMs = ttlMs;
    this.#maxSize = Math.floor(maxBytes / 4 / 2 / markBytes);
    this.#nowMs = nowMs;
    this.#startedMs = nowMs();
  }

  has(use: string): boolean {
    this.#renew();
    const mark = toMark(use);
    return this.#current.has(mark) || this.#previous.has(mark);
  }

  add(use: string): void {
    this.#renew();
    if (this.#maxSize > 0) this.#current.add(toMark(use));
  }

  #renew(): void {
    const nowMs = this.#nowMs();
    const ageMs = nowMs - this.#startedMs;
    if (ageMs < this.#ttlMs && this.#current.size < this.#maxSize) return;
    // after two lifetimes without a look, the current generation is too old as well
    this.#previous = ageMs < 2 * this.#ttlMs ? this.#current : new Set();
    this.#current = new Set();
    this.#startedMs = nowMs;
  }
}

/** The mark as text of one byte a character, which is how V8 keeps it. */
function toMark(use: string): string {
  return Buffer.from(use.slice(0, 32), 'hex').toString('latin1');
}
