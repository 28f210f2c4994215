import type { AnswerHolder } from './answer-memory.ts';
import { Ranking } from './ranking.ts';

export type KeptAnswersOptions = {
  /** how long an answer is kept, unless its room is needed earlier */
  readonly ttlMs: number;
  readonly maxBytes: number;
  /** a monotonic clock in milliseconds */
  readonly nowMs: () => number;
};

/** Bytes that an answer takes beyond its text: two hashes as hex, and the entries. */
const answerBytes = 600;
/** Room is counted in steps of this many bytes. */
const stepBytes = 256;
/** The steps that each holder of an answer takes. */
const holderSteps = 4;

type Entry = { readonly answer: string; readonly expiresMs: number; readonly holding: Holding };

/**
 * The answers of one process. When there is no room, the tenant that holds most gives way, and of its principals the one that
 * holds most: its oldest answer is dropped. So a flood of answers pushes out answers of whoever causes it, and of nobody who
 * holds less.
 */
export class KeptAnswers {
  readonly #ttlMs: number;
  readonly #maxSteps: number;
  readonly #nowMs: () => number;
  /** in the order of their age, and so of their expiry */
  readonly #entries = new Map<string, Entry>();
  readonly #holdings = new Map<string, Holding>();
  readonly #tenants = new Ranking();
  readonly #principals = new Map<string, Ranking>();
  /** one iterator for the whole life: a new one would have to pass all deleted entries again */
  #byAge = this.#entries.keys();
  /** the next entry of that iterator, where it has not expired yet */
  #oldest: string | undefined;
  #steps = 0;

  constructor({ ttlMs, maxBytes, nowMs }: KeptAnswersOptions) {
    this.#ttlMs = ttlMs;
    this.#maxSteps = Math.floor(maxBytes / stepBytes);
    this.#nowMs = nowMs;
  }

  get(key: string): string | undefined {
    const entry = this.#entries.get(key);
    return entry && entry.expiresMs > this.#nowMs() ? entry.answer : undefined;
  }

  add(key: string, answer: string, { tenant, principal }: AnswerHolder): void {
    this.#deleteExpired();
    this.#delete(key);
    const name = JSON.stringify([tenant, principal]);
    const holding = this.#holdings.get(name) ?? new Holding(name, tenant);
    if (holding.keys.size === 0) {
      this.#holdings.set(name, holding);
      this.#count(holding, holderSteps);
    }
    holding.keys.add(key);
    this.#entries.set(key, { answer, expiresMs: this.#nowMs() + this.#ttlMs, holding });
    this.#count(holding, stepsOf(answer));
    while (this.#steps > this.#maxSteps) this.#makeRoom();
  }

  #makeRoom(): void {
    const principals = this.#principals.get(this.#tenants.first ?? '');
    const holding = this.#holdings.get(principals?.first ?? '');
    const oldest = holding?.oldest();
    if (oldest !== undefined) this.#delete(oldest);
  }

  #deleteExpired(): void {
    for (;;) {
      this.#oldest ??= this.#byAge.next().value;
      if (this.#oldest === undefined) {
        this.#byAge = this.#entries.keys();
        return;
      }
      const entry = this.#entries.get(this.#oldest);
      if (entry && entry.expiresMs > this.#nowMs()) return;
      this.#delete(this.#oldest);
    }
  }

  #delete(key: string): void {
    // an entry that is put again becomes the youngest
    if (key === this.#oldest) this.#oldest = undefined;
    const entry = this.#entries.get(key);
    if (!entry) return;
    const { answer, holding } = entry;
    this.#entries.delete(key);
    holding.keys.delete(key);
    this.#count(holding, -stepsOf(answer));
    if (holding.keys.size > 0) return;
    this.#holdings.delete(holding.name);
    this.#count(holding, -holderSteps);
  }

  #count({ name, tenant }: Holding, steps: number): void {
    this.#steps += steps;
    const principals = this.#principals.get(tenant) ?? new Ranking();
    principals.change(name, steps);
    this.#tenants.change(tenant, steps);
    if (principals.first === undefined) this.#principals.delete(tenant);
    else this.#principals.set(tenant, principals);
  }
}

/** The share of the room that one principal has. */
class Holding {
  readonly name: string;
  readonly tenant: string;
  /** the oldest first */
  readonly keys = new Set<string>();
  /** one iterator for the whole life: a new one would have to pass all deleted entries again; what it has passed is deleted */
  readonly #byAge = this.keys.values();

  constructor(name: string, tenant: string) {
    this.name = name;
    this.tenant = tenant;
  }

  oldest(): string | undefined {
    return this.#byAge.next().value;
  }
}

/** The steps that an answer takes. Answers are ASCII, which V8 keeps as one byte a character. */
function stepsOf(answer: string): number {
  return Math.ceil((answer.length + answerBytes) / stepBytes);
}
