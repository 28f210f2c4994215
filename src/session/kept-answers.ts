import type { AnswerHolder } from './answer-memory.ts';
import { Ranking } from './ranking.ts';

export type KeptAnswersOptions = {
  /** how long an answer is kept, unless room is needed before */
  readonly ttlMs: number;
  readonly maxBytes: number;
  /** never goes back */
  readonly nowMs: () => number;
};

/** What an answer takes beyond its text: two hashes as hex, and the entries. */
const answerBytes = 600;
/** The room is counted in steps of so many bytes. */
const stepBytes = 256;
/** What each who holds any takes. */
const holderSteps = 4;

type Entry = { readonly answer: string; readonly expiresMs: number; readonly holding: Holding };

/**
 * The answers of one process. When there is no room, the oldest answer gives way of whoever holds most: of all tenants the one,
 * and of its principals the one. So a flood of one pushes out its own, and nobody's who holds less.
 */
export class KeptAnswers {
  readonly #ttlMs: number;
  readonly #maxSteps: number;
  readonly #nowMs: () => number;
  /** the oldest first, which expire first */
  readonly #entries = new Map<string, Entry>();
  readonly #holdings = new Map<string, Holding>();
  readonly #tenants = new Ranking();
  readonly #principals = new Map<string, Ranking>();
  /** kept, for a new look at the map has to pass all places that were given up */
  #byAge = this.#entries.keys();
  /** what comes next there, where it has not expired yet */
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
    // put again, it is the youngest
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

/** What one principal has of the room. */
class Holding {
  readonly name: string;
  readonly tenant: string;
  /** the oldest first */
  readonly keys = new Set<string>();
  /** kept, for a new look at the set has to pass all places that were given up; what it has passed is given up */
  readonly #byAge = this.keys.values();

  constructor(name: string, tenant: string) {
    this.name = name;
    this.tenant = tenant;
  }

  oldest(): string | undefined {
    return this.#byAge.next().value;
  }
}

/** Answers are ASCII, which V8 keeps in one byte a character. */
function stepsOf(answer: string): number {
  return Math.ceil((answer.length + answerBytes) / stepBytes);
}
