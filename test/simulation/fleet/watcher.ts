import { decodeRecord } from '../../../src/audit/record.ts';
import type { Owner } from './kernel.ts';
import { type Rational, parseFraction, sameFraction } from './fraction.ts';

/** A rule that the simulation found broken. */
export type Violation = { readonly invariant: string; readonly message: string };

/** A request, as the world knows it. */
export type Ask = {
  readonly id: string;
  readonly tenant: string;
  readonly principal: string;
  /** wei that one of its tickets is worth */
  readonly ticketEv: bigint;
  readonly fee: Rational;
  /** billed at one price each, of which its client pays this at most, in wei; undefined for any */
  readonly units: bigint;
  readonly maxPriceWei: bigint | undefined;
  /** which orchestrator it is about */
  readonly orchestrator: string;
  /** what tells it from other requests; undefined where nothing does */
  readonly identity: string | undefined;
  /** the state, or the idempotency key, that it uses */
  readonly use: string | undefined;
  /** the state's JSON; undefined for a first payment */
  readonly before: string | undefined;
  /** at most so many tickets are due */
  readonly maxTickets: number;
  readonly atUs: number;
  /** answers that had left before it came, from the same use */
  readonly usedBefore: boolean;
};

/** What the key was asked for: one record of the log. */
type KeyUse = {
  readonly use: string;
  readonly request: string;
  readonly intent: string;
  readonly digests: readonly string[];
  readonly session: string | undefined;
  readonly tickets: number;
  readonly principal: string;
  readonly tenant: string;
  readonly rules: readonly string[];
  readonly writtenAtUs: number;
  /** where the record that it was signed ends in its file; undefined while there is none */
  signed: { readonly path: string; readonly end: number; readonly signatures: number } | undefined;
};

/** A window of a rule, as the invariants see it. */
export type WindowRule = {
  readonly ruleId: string;
  readonly windowMs: number;
  readonly per: 'tenant' | 'principal' | 'all';
  readonly ev: bigint | undefined;
  readonly tickets: bigint | undefined;
  readonly sessions: bigint | undefined;
};

type Spent = {
  readonly fromUs: number;
  readonly toUs: number;
  readonly ev: bigint;
  readonly tickets: bigint;
  readonly sessions: bigint;
};

export type Answered = {
  readonly tickets: readonly {
    readonly nonce: number;
    readonly signature: string;
    readonly randHash: string;
  }[];
  readonly state: string;
  readonly answer: string;
  /** undefined where the answer was given before */
  readonly isFork: boolean | undefined;
};

type StateJson = {
  readonly StateID: string;
  readonly LastUpdate: string;
  readonly PMSessionID: string;
  readonly SenderNonce: number;
  readonly Balance: string;
  readonly SequenceNumber: number;
  readonly SpentEV: string;
};

/**
 * Looks at the edges alone: what reaches the disk, what the key is asked for, what leaves for clients, what the store holds. It
 * knows nothing of how the signer came to it.
 */
export class Watcher {
  violation: Violation | undefined;
  /** what is remembered may be lost by now, as the docs say */
  isWeak = false;
  /** begins anew where the memory of answers and nonces ends with its process */
  epoch = 0;
  readonly asks = new Map<string, Ask>();
  readonly #rules: readonly WindowRule[];
  readonly #sessionEv: bigint | undefined;
  readonly #forks: 'count' | 'deny';
  readonly #keepsAnswers: boolean;
  readonly #nowUs: () => number;
  readonly #uses = new Map<string, KeyUse>();
  readonly #usesOfRequest = new Map<string, KeyUse[]>();
  /** digests that a record allows, by the process that wrote it */
  readonly #allowed = new Map<Owner, Map<string, KeyUse>>();
  readonly #parsed = new Map<string, number>();
  readonly #durable = new Map<string, number>();
  readonly #signed = new Map<string, string>();
  readonly #answers = new Map<string, string>();
  readonly #answerOfUse = new Map<string, string>();
  readonly #identityOfAnswer = new Map<string, string>();
  readonly #askedTickets = new Set<string>();
  readonly #drawn = new Map<string, string>();
  readonly #spent = new Map<string, Spent[]>();
  readonly #spentBySession = new Map<string, bigint>();
  readonly #begunSessions = new Set<string>();
  /** of windows, by rule and scope; and of sessions, by their id: what the key was asked for */
  readonly asked = new Map<string, { ev: bigint; tickets: bigint; sessions: bigint }>();
  /** whose the last use of the key was */
  lastAsker = '';
  readonly #signedOf = new Map<string, number>();
  #counted = 0;

  constructor(options: {
    readonly rules: readonly WindowRule[];
    readonly sessionEv: bigint | undefined;
    readonly forks: 'count' | 'deny';
    readonly keepsAnswers: boolean;
    readonly nowUs: () => number;
  }) {
    this.#rules = options.rules;
    this.#sessionEv = options.sessionEv;
    this.#forks = options.forks;
    this.#keepsAnswers = options.keepsAnswers;
    this.#nowUs = options.nowUs;
  }

  /** Of all that it has seen, for the abstract state. */
  get counted(): number {
    return this.#counted;
  }

  fail(invariant: string, message: string): void {
    this.violation ??= { invariant, message };
  }

  hasAnswered(use: string | undefined): boolean {
    return use !== undefined && this.#answerOfUse.has(`${this.epoch} ${use}`);
  }

  /** Tickets that the key was asked for, or more where that is not known. */
  mostTickets({ id, maxTickets }: Ask): number {
    const [batch] = (this.#usesOfRequest.get(id) ?? []).filter(
      ({ intent }) => intent === 'ticket-batch',
    );
    return batch ? batch.digests.length : maxTickets;
  }

  /** Of a request's tickets the key was asked for so many. */
  askedOf(id: string): number {
    return this.#signedOf.get(id) ?? 0;
  }

  wrote(path: string, owner: Owner, content: Buffer, from: number): void {
    if (!path.endsWith('.jsonl')) return;
    const start = Math.min(this.#parsed.get(path) ?? 0, from);
    const end = content.lastIndexOf(10) + 1;
    if (end <= start) return;
    this.#parsed.set(path, end);
    let at = start;
    for (const line of content.toString('latin1', start, end).split('\n')) {
      at += line.length + 1;
      if (line.startsWith('{"seq":') && line.endsWith('"}')) this.#read(path, owner, line, at);
    }
  }

  synced(path: string, durable: Buffer): void {
    if (path.endsWith('.jsonl')) this.#durable.set(path, durable.length);
  }

  /** The disk lost what was not synced: what is read from here on is new. */
  lost(path: string, length: number): void {
    this.#parsed.set(path, Math.min(this.#parsed.get(path) ?? 0, length));
  }

  #read(path: string, owner: Owner, line: string, end: number): void {
    if (line.includes('"kind":"key-use"')) {
      const record = this.#parse(path, line) as
        | {
            readonly use: string;
            readonly request?: string;
            readonly intent: string;
            readonly digests: readonly string[];
            readonly verdict: string;
            readonly principal?: string;
            readonly tenant?: string;
            readonly rules?: readonly string[];
            readonly subject?: { readonly session?: string };
            readonly amounts?: { readonly tickets?: string };
          }
        | undefined;
      if (record?.verdict !== 'allow') return;
      const use: KeyUse = {
        use: record.use,
        request: record.request ?? '',
        intent: record.intent,
        digests: record.digests,
        session: record.subject?.session,
        tickets: Number(record.amounts?.tickets ?? 0),
        principal: record.principal ?? '',
        tenant: record.tenant ?? '',
        rules: record.rules ?? [],
        writtenAtUs: this.#nowUs(),
        signed: undefined,
      };
      this.#uses.set(use.use, use);
      const ofRequest = this.#usesOfRequest.get(use.request) ?? [];
      this.#usesOfRequest.set(use.request, [
        ...ofRequest.filter((other) => other.use !== use.use),
        use,
      ]);
      const allowed = this.#allowed.get(owner) ?? new Map<string, KeyUse>();
      this.#allowed.set(owner, allowed);
      for (const digest of use.digests) allowed.set(digest, use);
    } else if (line.includes('"kind":"signed"')) {
      const record = this.#parse(path, line) as
        { readonly use: string; readonly signatures: number } | undefined;
      const known = record && this.#uses.get(record.use);
      if (known) known.signed = { path, end, signatures: record.signatures };
    }
  }

  #parse(path: string, line: string): unknown {
    try {
      return JSON.parse(line);
    } catch {
      this.fail('log-whole', `${path} has a line that is no record`);
      return undefined;
    }
  }

  /** The key is asked to sign a digest. */
  keyAsked(owner: Owner, digest: Uint8Array): void {
    this.#counted += 1;
    const hex = toHex(digest);
    const use = this.#allowed.get(owner)?.get(hex);
    if (!use) {
      this.fail(
        'no-signature-without-allow',
        `the key was asked for ${hex}, which no record of ${owner.name} allows`,
      );
      return;
    }
    this.lastAsker = `${use.request} for ${use.intent}`;
    const ask = this.asks.get(use.request);
    if (!ask || use.session === undefined) return;
    if (use.principal !== ask.principal || use.tenant !== ask.tenant) {
      this.fail(
        'no-signature-without-allow',
        `request ${ask.id} of ${ask.principal} is recorded as ${use.principal}'s`,
      );
    }
    const isTicket = use.intent === 'ticket-batch';
    if (isTicket) this.#requireNewTicket(ask, hex);
    const begins = ask.before === undefined && !this.#begunSessions.has(use.session);
    if (begins) this.#begunSessions.add(use.session);
    const spent: Spent = {
      fromUs: ask.atUs,
      toUs: use.writtenAtUs,
      ev: isTicket ? ask.ticketEv : 0n,
      tickets: isTicket ? 1n : 0n,
      sessions: begins ? 1n : 0n,
    };
    if (isTicket) this.#signedOf.set(ask.id, this.askedOf(ask.id) + 1);
    for (const rule of this.#rules) this.#charge(rule, ask, spent);
    this.#chargeSession(use.session, ask, spent.ev);
  }

  /** A call that failed may have made a signature, so a ticket is for one call alone. */
  #requireNewTicket({ id }: Ask, digest: string): void {
    const key = `${this.epoch} ${digest}`;
    if (this.#askedTickets.has(key) && !this.isWeak) {
      this.fail('ticket-drawn-twice', `request ${id}: the key is asked again for ticket ${digest}`);
    }
    this.#askedTickets.add(key);
  }

  #charge(rule: WindowRule, ask: Ask, spent: Spent): void {
    const name = `${rule.ruleId} ${scopeOf(rule, ask)}`;
    const list = this.#spent.get(name) ?? [];
    list.push(spent);
    this.#spent.set(name, list);
    const all = this.asked.get(name) ?? { ev: 0n, tickets: 0n, sessions: 0n };
    this.asked.set(name, {
      ev: all.ev + spent.ev,
      tickets: all.tickets + spent.tickets,
      sessions: all.sessions + spent.sessions,
    });
    if (this.isWeak) return;
    for (const { fromUs } of list) {
      const until = fromUs + rule.windowMs * 1000;
      const within = list.filter((other) => other.fromUs >= fromUs && other.toUs <= until);
      for (const kind of ['ev', 'tickets', 'sessions'] as const) {
        const limit = rule[kind];
        const total = within.reduce((sum, each) => sum + each[kind], 0n);
        if (limit !== undefined && total > limit) {
          this.fail(
            'window-exceeded',
            `${name}: ${total} ${kind} of ${limit} in ${rule.windowMs} ms`,
          );
        }
      }
    }
  }

  #chargeSession(session: string, ask: Ask, ev: bigint): void {
    const total = (this.#spentBySession.get(session) ?? 0n) + ev;
    this.#spentBySession.set(session, total);
    if (this.isWeak || this.#sessionEv === undefined || total <= this.#sessionEv) return;
    this.fail(
      'session-limit-exceeded',
      `session ${session} of ${ask.principal}: ${total} of ${this.#sessionEv} wei`,
    );
  }

  signed(digest: Uint8Array, signature: Uint8Array): void {
    this.#signed.set(toHex(signature), toHex(digest));
  }

  /** An answer leaves the signer, which is the moment all must be right. */
  left(ask: Ask, { tickets, state, answer, isFork }: Answered): void {
    this.#counted += 1;
    for (const { signature } of tickets) {
      const digest = this.#signed.get(signature);
      if (digest === undefined) {
        this.fail(
          'no-signature-without-allow',
          `a ticket left with a signature that the key never made`,
        );
        return;
      }
      const key = `${this.epoch} ${digest}`;
      const before = this.#drawn.get(key);
      this.#drawn.set(key, signature);
      if (before !== undefined && before !== signature && !this.isWeak) {
        this.fail(
          'ticket-drawn-twice',
          `request ${ask.id}: two signatures of ticket ${digest} have left`,
        );
      }
    }
    if (isFork !== undefined) this.#requireLogged(ask, tickets);
    this.#requireSameAnswer(ask, answer, isFork);
    if (isFork !== undefined) this.#requireBooks(ask, tickets, state);
  }

  #requireLogged(ask: Ask, tickets: Answered['tickets']): void {
    const uses = this.#usesOfRequest.get(ask.id) ?? [];
    const logged = new Set<string>();
    for (const use of uses) {
      const { signed } = use;
      if (!signed || signed.end > (this.#durable.get(signed.path) ?? 0)) continue;
      if (signed.signatures === use.digests.length)
        for (const digest of use.digests) logged.add(digest);
    }
    for (const { signature } of tickets) {
      const digest = this.#signed.get(signature) ?? '';
      // of two that made an answer to one request, both send the first one's
      if (logged.has(digest) || this.#isLogged(digest)) continue;
      this.fail(
        'signature-not-logged',
        `request ${ask.id}: a ticket left, and its record is not safe on disk`,
      );
    }
    const unsafe = uses.filter(({ digests }) => !digests.every((digest) => logged.has(digest)));
    if (unsafe.length > 0) {
      this.fail(
        'signature-not-logged',
        `request ${ask.id}: ${unsafe[0]?.intent ?? ''} left, and its record is not safe on disk`,
      );
    }
  }

  #isLogged(digest: string): boolean {
    return [...this.#uses.values()].some(
      ({ signed, digests }) =>
        digests.includes(digest) && signed && signed.end <= (this.#durable.get(signed.path) ?? 0),
    );
  }

  #requireSameAnswer(ask: Ask, answer: string, isFork: boolean | undefined): void {
    const { identity, use } = ask;
    const name = identity ?? `request ${ask.id}`;
    if ((this.#identityOfAnswer.get(answer) ?? name) !== name) {
      this.fail('answer-of-another', `request ${ask.id} got the answer to another request`);
    }
    this.#identityOfAnswer.set(answer, name);
    if (identity === undefined || use === undefined || this.isWeak) return;
    const key = `${this.epoch} ${identity}`;
    const before = this.#answers.get(key);
    if (before !== undefined && before !== answer && this.#keepsAnswers) {
      this.fail(
        'same-request-same-answer',
        `request ${ask.id} got another answer than the same request before`,
      );
    }
    this.#answers.set(key, answer);
    const useKey = `${this.epoch} ${use}`;
    const user = this.#answerOfUse.get(useKey);
    if (isFork !== undefined) {
      const mayBeForked = this.#forks === 'count' && !use.startsWith('key ');
      if (user !== undefined && user !== answer && !mayBeForked) {
        this.fail(
          'fork-denied',
          `request ${ask.id} was answered out of a state that another has used`,
        );
      }
      if (ask.usedBefore && !isFork) {
        this.fail('fork-seen', `request ${ask.id} used a state again, and nobody saw it`);
      }
    }
    this.#answerOfUse.set(useKey, answer);
  }

  /** Nobody is refused for having used a state, or a key, before with the very same request. */
  refusedAsFork({ id, use, identity }: Ask): void {
    if (this.isWeak || !this.#keepsAnswers) return;
    const others = [...this.asks.values()].filter((other) => other.use === use);
    if (others.some((other) => other.identity !== identity)) return;
    this.fail('same-request-same-answer', `request ${id} was taken for another than itself`);
  }

  /** The books as its orchestrator can do them from what it got. */
  #requireBooks(
    { id, before, fee, ticketEv, units, maxPriceWei }: Ask,
    tickets: Answered['tickets'],
    state: string,
  ): void {
    const after = JSON.parse(state) as StateJson;
    const old = before === undefined ? undefined : (JSON.parse(before) as StateJson);
    const wrong = (what: string): void => this.fail('session-books', `request ${id}: ${what}`);
    const count = BigInt(tickets.length);
    const credit = parseFraction(old?.Balance ?? '0');
    const numerator =
      (credit.numerator + count * ticketEv * credit.denominator) * fee.denominator -
      fee.numerator * credit.denominator;
    const balance = { numerator, denominator: credit.denominator * fee.denominator };
    if (maxPriceWei !== undefined) {
      const left = parseFraction(after.Balance);
      const charged =
        (credit.numerator + count * ticketEv * credit.denominator) * left.denominator -
        left.numerator * credit.denominator;
      if (charged > units * maxPriceWei * credit.denominator * left.denominator) {
        const most = `${units} at ${maxPriceWei} wei at most`;
        this.fail('price-above-ceiling', `request ${id}: more was billed than ${most}`);
      }
    }
    if (!sameFraction(balance, parseFraction(after.Balance))) {
      wrong(`its balance is ${after.Balance} after ${tickets.length} tickets`);
    }
    if (balance.numerator < 0n) wrong(`it owes its orchestrator`);
    if (BigInt(after.SpentEV) !== BigInt(old?.SpentEV ?? 0) + count * ticketEv)
      wrong(`it has spent ${after.SpentEV}`);
    if (after.SequenceNumber !== (old ? old.SequenceNumber + 1 : 0))
      wrong(`its number is ${after.SequenceNumber}`);
    if (old && after.StateID !== old.StateID) wrong('it is another session');
    if (old && Date.parse(after.LastUpdate) < Date.parse(old.LastUpdate)) {
      wrong(`its time is ${after.LastUpdate} after ${old.LastUpdate}`);
    }
    const [first] = tickets;
    const last = tickets.at(-1);
    if (!first || !last) {
      wrong('it has no ticket');
      return;
    }
    if (!tickets.every(({ nonce }, place) => nonce === first.nonce + place))
      wrong('its nonces have gaps');
    if (last.nonce !== after.SenderNonce)
      wrong(`its last nonce is ${last.nonce}, and its state's ${after.SenderNonce}`);
    if (old?.PMSessionID === after.PMSessionID && first.nonce <= old.SenderNonce) {
      wrong(`nonce ${first.nonce} comes after ${old.SenderNonce}`);
    }
    if (after.PMSessionID !== first.randHash) wrong(`its parameters are ${after.PMSessionID}`);
  }

  /** What a chain's files hold, in their order: every record follows the one before. */
  requireWholeChain(name: string, files: readonly Buffer[]): void {
    let seq = 0;
    let prev = '0'.repeat(64);
    for (const file of files) {
      const lines = file.toString('latin1').split('\n');
      lines.pop();
      for (const line of lines) {
        const record = decodeRecord(Buffer.from(line, 'latin1'));
        if (typeof record === 'string' || record.seq !== seq + 1 || record.prev !== prev) {
          const problem = typeof record === 'string' ? record : 'it does not follow the one before';
          this.fail('log-whole', `${name}: record ${seq + 1}: ${problem}`);
          return;
        }
        seq = record.seq;
        prev = record.hash;
      }
    }
  }

  /** That what left is in the log that is there now. */
  requireKept(path: string, length: number): void {
    for (const { signed, use } of this.#uses.values()) {
      if (
        signed?.path !== path ||
        signed.end > (this.#durable.get(path) ?? 0) ||
        signed.end <= length
      )
        continue;
      this.fail('signature-not-logged', `the record of ${use} was on disk, and is lost`);
    }
  }
}

export function scopeOf(
  { per }: WindowRule,
  { tenant, principal }: Pick<Ask, 'tenant' | 'principal'>,
): string {
  if (per === 'all') return '';
  return per === 'tenant' ? `tenant=${tenant}` : `principal=${principal}`;
}

function toHex({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('hex');
}
