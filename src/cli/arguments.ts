import { InvalidArgumentError } from 'commander';
import { parseAmount } from '../config/units.ts';
import { type Rational, compare, parseRational, zero } from '../pm/rational.ts';
import { maxTicketsOfProtocol } from '../pm/ticket-count.ts';

/** What a record may be, as docs/audit.md tells. */
export const recordKinds: readonly string[] = [
  ...['start', 'key-use', 'signed', 'failed', 'denied', 'policy'],
  ...['signing-paused', 'signing-resumed', 'resume'],
];

/** Whose sums a report may have. */
export const reportKeys = ['tenant', 'principal', 'orchestrator', 'app'] as const;

/** The hash of a record. Throws commander's InvalidArgumentError. */
export function parseHash(text: string): string {
  if (/^[0-9a-f]{64}$/i.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError('Expected a hash of 64 hex digits.');
}

/** How many lines. Throws commander's InvalidArgumentError. */
export function parseLines(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected a number, 1 to 999999.');
}

/** A time as Unix milliseconds. Throws commander's InvalidArgumentError. */
export function parseTime(text: string): number {
  const isTime = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/.test(
    text,
  );
  const time = isTime ? Date.parse(text) : NaN;
  if (!Number.isNaN(time)) return time;
  throw new InvalidArgumentError('Expected a time such as 2026-11-20 or 2026-11-20T16:00:00Z.');
}

/** A future time, as RFC 3339 writes it. Throws `InvalidArgumentError`. */
export function parseExpiry(text: string): string {
  const time = Date.parse(text);
  if (/^\d{4}-\d{2}-\d{2}T/.test(text) && time > Date.now()) return new Date(time).toISOString();
  throw new InvalidArgumentError('Expected a time to come, such as 2027-01-31T00:00:00Z.');
}

/** An amount of an option, `0.5ether`, as wei. Throws commander's InvalidArgumentError. */
export function parseWei(text: string): bigint {
  const wei = parseAmount(text);
  if (wei?.denominator === 1n && wei.numerator > 0n) return wei.numerator;
  throw new InvalidArgumentError(
    'Expected whole wei, more than 0, with the unit, such as 0.5ether, 30gwei or 1200wei.',
  );
}

/** Whole seconds of an option. Throws commander's InvalidArgumentError. */
export function parseSeconds(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected seconds, 1 to 99999.');
}

/** A position of the option. Throws commander's InvalidArgumentError. */
export function parsePosition(text: string): number {
  if (/^\d{1,2}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected a position in keys, 0 for the first.');
}

/** The URL of an admin listener. Throws commander's InvalidArgumentError. */
export function parseUrl(text: string): string {
  if (/^https?:/.test(URL.parse(text)?.protocol ?? '')) return text;
  throw new InvalidArgumentError('Expected an http or https URL, such as http://127.0.0.1:7937.');
}

/** A whole number, at least 1. Throws commander's error for an argument. */
export function parseCount(argument: string): bigint {
  if (/^[1-9]\d{0,17}$/.test(argument)) return BigInt(argument);
  throw new InvalidArgumentError('Expected a whole number, at least 1.');
}

const millisecondsOf = { ms: 1n, s: 1_000n, m: 60_000n, h: 3_600_000n } as const;

/** `500ms`, `10s`, `1m` or `1h` as milliseconds. Throws commander's error for an argument. */
export function parseInterval(argument: string): bigint {
  const [, count, unit] = /^([1-9]\d{0,8})(ms|s|m|h)$/.exec(argument) ?? [];
  if (count !== undefined)
    return BigInt(count) * millisecondsOf[unit as keyof typeof millisecondsOf];
  throw new InvalidArgumentError('Expected a time such as 500ms, 10s, 1m or 1h.');
}

/** A positive decimal number, exact. Throws commander's error for an argument. */
export function parsePositive(argument: string): Rational {
  const value = /^\d+(\.\d+)?$/.test(argument) ? parseRational(argument) : undefined;
  if (value && compare(value, zero) > 0) return value;
  throw new InvalidArgumentError('Expected a number above 0, such as 1.5.');
}

/** The tickets of a payment: above 0 and at most 100. Throws commander's error for an argument. */
export function parseTickets(argument: string): Rational {
  const tickets = parsePositive(argument);
  if (tickets.numerator <= tickets.denominator * BigInt(maxTicketsOfProtocol)) return tickets;
  throw new InvalidArgumentError(`A payment has at most ${maxTicketsOfProtocol} tickets.`);
}
