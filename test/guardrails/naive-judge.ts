/**
 * The policy file and its meaning, written a second time and as plainly as can be, from what is documented and not from
 * the program: what a signer does is held against it.
 */

export type Capability = { readonly pipeline: 'llm' | 'text-to-image'; readonly model: string };

/** A rule as the file has it; bigints are amounts in wei, and prices are text with the unit. */
export type Rule = {
  readonly id: string;
  readonly mode?: 'enforce' | 'observe' | undefined;
  readonly when?: Conditions | undefined;
  readonly then?: 'allow' | 'deny' | undefined;
  readonly limit?: Limit | undefined;
  readonly window?: Window | undefined;
};

export type Conditions = {
  readonly principal?: readonly string[] | undefined;
  readonly tenant?: readonly string[] | undefined;
  readonly app?: readonly string[] | undefined;
  readonly orchestrator?: readonly string[] | undefined;
  readonly recipient?: readonly string[] | undefined;
  /** `PIPELINE` or `PIPELINE/MODEL` */
  readonly capability?: readonly string[] | undefined;
  readonly type?: readonly TypeName[] | undefined;
};

export type TypeName = 'untyped' | 'fixed' | 'live' | 'lv2v';

export type Limit = {
  readonly price?: string | undefined;
  readonly ticketEv?: bigint | undefined;
  readonly totalEv?: bigint | undefined;
  readonly faceValue?: bigint | undefined;
  readonly tickets?: number | undefined;
  readonly sessionEv?: bigint | undefined;
  /** in minutes, such as `3m` */
  readonly sessionDuration?: string | undefined;
};

export type Window = {
  readonly per: 'principal' | 'tenant' | 'orchestrator' | 'app' | 'all';
  readonly every: string;
  readonly ev?: bigint | undefined;
  readonly tickets?: number | undefined;
  readonly sessions?: number | undefined;
};

export type Policy = { readonly default: 'allow' | 'deny'; readonly rules: readonly Rule[] };

/** The policy as the text of its file: JSON is YAML. */
export function writeAsFile(policy: Policy): string {
  return JSON.stringify(policy, (_key, value: unknown) =>
    typeof value === 'bigint' ? `${value.toString()} wei` : value,
  );
}

/** A payment that somebody asks for. */
export type Payment = {
  /** `TENANT:USER`, or '' for a caller without a name */
  readonly payer: string;
  readonly app: string;
  readonly orchestrator: string;
  readonly recipient: string;
  readonly capabilities: readonly Capability[];
  readonly type: TypeName;
  /** wei per unit, as a fraction */
  readonly price: { readonly wei: bigint; readonly units: bigint };
  /** wei, of one ticket */
  readonly ticketEv: bigint;
  readonly faceValue: bigint;
  readonly tickets: number;
  readonly session: { readonly isNew: boolean; readonly spentEv: bigint; readonly minutes: number };
};

export type Judgement = {
  readonly isAllowed: boolean;
  /** rules that explicitly deny and are enforced */
  readonly denials: readonly string[];
  readonly isPriceAboveLimit: boolean;
  readonly isWindowFull: boolean;
  /** nothing but windows refuses, and each could take the payment when it is empty */
  readonly isForNow: boolean;
};

/** Judges payments by one policy, one after another, and remembers what its windows have spent. */
export class NaiveJudge {
  readonly #policy: Policy;
  /** what was spent so far; nothing runs out, a test is shorter than any window */
  readonly #spent: { key: string; ev: bigint; tickets: number; sessions: number }[] = [];

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  /** An allowed payment is taken to be made. */
  judge(payment: Payment): Judgement {
    const matching = this.#policy.rules.filter((rule) => applies(rule, payment));
    const enforced = matching.filter(({ mode }) => mode !== 'observe');
    const denials = enforced.filter((rule) => rule.then === 'deny').map(({ id }) => id);
    const isAllowedByRule =
      this.#policy.default === 'allow' || enforced.some((rule) => rule.then === 'allow');
    const isPriceAboveLimit = enforced.some(
      ({ limit }) => limit?.price !== undefined && isAbove(payment.price, limit.price),
    );
    const isOverLimit = enforced.some(({ limit }) => limit && exceeds(limit, payment));
    const isWindowFull = enforced.some(
      ({ id, window }) => window && !this.#hasRoom(id, window, payment),
    );
    const isTooLarge = enforced.some(
      ({ window }) => window && !hasRoomIn(window, spendOf(payment)),
    );
    const isAllowed =
      denials.length === 0 &&
      isAllowedByRule &&
      !isPriceAboveLimit &&
      !isOverLimit &&
      !isWindowFull;
    if (isAllowed) {
      for (const { id, window } of matching) {
        if (window) this.#spent.push({ key: shareOf(id, window, payment), ...spendOf(payment) });
      }
    }
    const isForNow =
      denials.length === 0 && isAllowedByRule && !isPriceAboveLimit && !isOverLimit && !isTooLarge;
    return { isAllowed, denials, isPriceAboveLimit, isWindowFull, isForNow };
  }

  /** A running session that is billed by time pays no more than its windows hold when they are empty, and owes the rest. */
  payInPart(payment: Payment): Payment {
    const { type, session, ticketEv } = payment;
    if (session.isNew || (type !== 'live' && type !== 'lv2v')) return payment;
    const counts = this.#policy.rules
      .filter((rule) => rule.mode !== 'observe' && applies(rule, payment))
      .flatMap(({ window }) => [
        window?.tickets,
        window?.ev === undefined ? undefined : Number(window.ev / ticketEv),
      ])
      .filter((count) => count !== undefined);
    const most = Math.min(payment.tickets, ...counts);
    return most < 1 ? payment : { ...payment, tickets: most };
  }

  /** An allowed payment came to nothing, and the key was asked for only so many of its tickets. */
  giveBackAllBut(tickets: number, payment: Payment): void {
    const unused = tickets - payment.tickets;
    for (const { id, window } of this.#policy.rules.filter((rule) => applies(rule, payment))) {
      if (!window) continue;
      const ev = payment.ticketEv * BigInt(unused);
      this.#spent.push({ key: shareOf(id, window, payment), ev, tickets: unused, sessions: 0 });
    }
  }

  #hasRoom(id: string, window: Window, payment: Payment): boolean {
    const share = shareOf(id, window, payment);
    const before = this.#spent.filter(({ key }) => key === share);
    const { ev, tickets, sessions } = spendOf(payment);
    const evAfter = before.reduce((sum, spent) => sum + spent.ev, ev);
    const ticketsAfter = before.reduce((sum, spent) => sum + spent.tickets, tickets);
    const sessionsAfter = before.reduce((sum, spent) => sum + spent.sessions, sessions);
    return hasRoomIn(window, { ev: evAfter, tickets: ticketsAfter, sessions: sessionsAfter });
  }
}

/** The enforced rules whose ceiling or limit these payments, which the key was asked for, exceed in this order, together or alone. */
export function findExceeded({ rules }: Policy, asked: readonly Payment[]): string[] {
  const isExceeded = (rule: Rule): boolean => {
    const { id, limit, window } = rule;
    const matching = asked.filter((payment) => applies(rule, payment));
    if (rule.then === 'deny' && matching.length > 0) return true;
    if (limit && matching.some((payment) => exceeds(limit, payment))) return true;
    const price = limit?.price;
    if (price !== undefined && matching.some((payment) => isAbove(payment.price, price)))
      return true;
    if (!window) return false;
    const shares = Map.groupBy(matching, (payment) => shareOf(id, window, payment));
    return [...shares.values()].some((payments) => {
      const spent = { ev: 0n, tickets: 0, sessions: 0 };
      for (const { ev, tickets, sessions } of payments.map(spendOf)) {
        spent.ev += ev;
        spent.tickets += tickets;
        spent.sessions += sessions;
      }
      return !hasRoomIn(window, spent);
    });
  };
  return rules.filter((rule) => rule.mode !== 'observe' && isExceeded(rule)).map(({ id }) => id);
}

function hasRoomIn(window: Window, after: ReturnType<typeof spendOf>): boolean {
  if (window.ev !== undefined && after.ev > window.ev) return false;
  if (window.tickets !== undefined && after.tickets > window.tickets) return false;
  return window.sessions === undefined || after.sessions <= window.sessions;
}

function applies({ when = {}, then }: Rule, payment: Payment): boolean {
  const { payer, capabilities } = payment;
  const tenant = payer.includes(':') ? payer.slice(0, payer.indexOf(':')) : '';
  if (when.principal && !when.principal.includes(payer)) return false;
  if (when.tenant && !when.tenant.includes(tenant)) return false;
  if (when.app && !when.app.includes(payment.app)) return false;
  if (when.orchestrator && !when.orchestrator.includes(payment.orchestrator)) return false;
  if (when.recipient && !when.recipient.includes(payment.recipient)) return false;
  if (when.type && !when.type.includes(payment.type)) return false;
  if (!when.capability) return true;
  const { capability: listed } = when;
  const named = capabilities.filter(
    ({ pipeline, model }) => listed.includes(pipeline) || listed.includes(`${pipeline}/${model}`),
  );
  // who allows some capabilities allows no others beside them
  const isAnyNamed = named.length > 0;
  return then === 'allow' ? isAnyNamed && named.length === capabilities.length : isAnyNamed;
}

function exceeds(limit: Limit, { ticketEv, faceValue, tickets, session }: Payment): boolean {
  const ev = ticketEv * BigInt(tickets);
  return (
    (limit.ticketEv !== undefined && ticketEv > limit.ticketEv) ||
    (limit.totalEv !== undefined && ev > limit.totalEv) ||
    (limit.faceValue !== undefined && faceValue > limit.faceValue) ||
    (limit.tickets !== undefined && tickets > limit.tickets) ||
    (limit.sessionEv !== undefined && session.spentEv + ev > limit.sessionEv) ||
    (limit.sessionDuration !== undefined && session.minutes > parseInt(limit.sessionDuration, 10))
  );
}

/** `limit` is decimal text in wei. */
function isAbove({ wei, units }: Payment['price'], limit: string): boolean {
  const [whole = '', fraction = ''] = limit.replace(' wei', '').split('.');
  const scale = 10n ** BigInt(fraction.length);
  return wei * scale > BigInt(whole + fraction) * units;
}

function spendOf({ ticketEv, tickets, session }: Payment) {
  return { ev: ticketEv * BigInt(tickets), tickets, sessions: session.isNew ? 1 : 0 };
}

function shareOf(id: string, { per }: Window, { payer, app, orchestrator }: Payment): string {
  const tenant = payer.includes(':') ? payer.slice(0, payer.indexOf(':')) : '';
  return JSON.stringify([id, per, { principal: payer, tenant, orchestrator, app, all: '' }[per]]);
}
