import { checksum } from 'ox/Address';
import type { ChainedRecord } from '../audit/record.ts';
import { type Address, parseAddress } from '../pm/bytes.ts';
import { type Rational, max, parseRational } from '../pm/rational.ts';
import { expectedValue } from '../pm/ticket.ts';
import { parsePaymentType } from '../pm/billing.ts';
import type { Spend, WindowCharge } from '../policy/limits/ledger.ts';
import { byoc } from '../policy/pipelines.ts';
import { type PaymentFacts, byocJobFacts } from '../policy/rules/facts.ts';

type Texts = Readonly<Record<string, string>>;

/** A text field of a record, or ''. Records of earlier releases lack some fields, and a log may hold anything. */
export function textOf(record: ChainedRecord, name: string): string {
  const value: unknown = record[name];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

/** The texts and numbers under a field, by name; numbers as text. */
export function textsOf(record: ChainedRecord, name: string): Texts {
  return toTexts(record[name]);
}

/** The texts of a field that is a list of them. */
export function listOf(record: ChainedRecord, name: string): readonly string[] {
  const value: unknown = record[name];
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}

/** What was spent in a window that the refused payment counts in. */
export type RecordedWindow = {
  readonly rule: string;
  readonly scope: string;
  readonly windowMs: number;
  readonly limit: string;
  readonly maximum: bigint;
  readonly spent: bigint;
  readonly headroom: bigint;
};

/** The windows that a recorded denial counts in, with what was spent in each. */
export function windowsOf(record: ChainedRecord): readonly RecordedWindow[] {
  const value: unknown = record['windows'];
  if (!Array.isArray(value)) return [];
  return value.map(toTexts).flatMap(({ rule = '', scope = '', limit = '', ...rest }) => {
    const [maximum, spent, headroom] = [rest['maximum'], rest['spent'], rest['headroom']].map(
      toWhole,
    );
    const windowMs = Number(rest['windowMs']);
    if (maximum === undefined || spent === undefined || headroom === undefined) return [];
    return [{ rule, scope, windowMs, limit, maximum, spent, headroom }];
  });
}

/** Whole wei, or a count; undefined for anything else. */
export function toWhole(text: string | undefined): bigint | undefined {
  return text !== undefined && /^\d{1,160}$/.test(text) ? BigInt(text) : undefined;
}

/** The expected value of one ticket; undefined where the record does not have it. */
export function ticketEvOf({ faceValueWei, winProb = '' }: Texts): Rational | undefined {
  const faceValue = toWhole(faceValueWei);
  if (faceValue === undefined || !/^0x[0-9a-f]{1,64}$/.test(winProb)) return undefined;
  return expectedValue({ faceValue, winProb: BigInt(winProb) });
}

/** The facts of the decision as a record has them; a message where it lacks some. */
export function factsOfRecord(record: ChainedRecord): PaymentFacts | string {
  const amounts = textsOf(record, 'amounts');
  const subject = textsOf(record, 'subject');
  const principal = {
    id: textOf(record, 'principal'),
    tenant: textOf(record, 'tenant'),
    attributes: {},
  };
  const now = BigInt(Date.parse(record.time)) * 1_000_000n;
  const { job, capability } = subject;
  if (job !== undefined && capability !== undefined) {
    return byocJobFacts(principal, [{ capability: byoc, model: capability }], now);
  }
  const ticketEv = ticketEvOf(amounts);
  const [faceValue, tickets] = [toWhole(amounts['faceValueWei']), toWhole(amounts['tickets'])];
  const [price, initialPrice] = [amounts['priceWei'], amounts['initialPriceWei']].map(toRational);
  const [sessionEv, seconds] = [amounts['sessionEvWei'], subject['sessionSeconds']].map(toWhole);
  const [orchestrator, recipient] = [subject['orchestrator'], subject['recipient']].map(toAddress);
  const type = parsePaymentType(subject['type'] ?? '');
  if (
    !ticketEv ||
    faceValue === undefined ||
    tickets === undefined ||
    !price ||
    !initialPrice ||
    sessionEv === undefined ||
    seconds === undefined ||
    !orchestrator ||
    !recipient
  ) {
    return 'its record does not have all that rules look at: it was written by an earlier release, or the payment was refused before rules were asked';
  }
  const models = listOf(record, 'models').map(toModel);
  if (subject['models'] !== undefined || models.some(({ model }) => model.endsWith('…'))) {
    return 'it names more, or longer, models than a record holds';
  }
  const { limit, actual } = textsOf(record, 'data');
  if (limit === 'sessionIdle') {
    return "the spend ledger had forgotten what its session spent, which rules can't tell";
  }
  // the ledger knew of more spending of the session than the state that the client carried
  const [known, ev] = [toWhole(actual), toWhole(amounts['evWei'])];
  const spentBefore =
    limit === 'sessionEv' && known !== undefined && ev !== undefined ? known - ev : sessionEv;
  const rateNow = toRational(amounts['weiPerUsd']);
  return {
    kind: 'payment',
    principal,
    app: subject['app'] ?? '',
    orchestrator,
    recipient,
    models,
    type: type ?? '',
    price: max(price, initialPrice),
    ticketEv,
    faceValue,
    tickets,
    session: {
      isNew: subject['newSession'] === 'true',
      ev: spentBefore,
      startedAt: now - seconds * 1_000_000_000n,
    },
    weiPerUsd: { ofSession: toRational(amounts['weiPerUsdOfSession']) ?? rateNow, now: rateNow },
    now,
  };
}

/** What was spent in the window of a charge, by the record; undefined where it does not say. */
export function spentAsRecorded(record: ChainedRecord, charge: WindowCharge): Spend | undefined {
  const rows = windowsOf(record).filter(
    ({ rule, scope, windowMs }) =>
      rule === charge.ruleId && scope === charge.scope && windowMs === charge.windowMs,
  );
  if (rows.length === 0) return undefined;
  const of = (kind: string): bigint => rows.find(({ limit }) => limit === kind)?.spent ?? 0n;
  return { ev: of('ev'), tickets: of('tickets'), sessions: of('sessions') };
}

/** EIP-55, where it is an address. */
export function checksummed(text: string): string {
  const address = parseAddress(text);
  return address ? checksum(address) : text;
}

function toTexts(value: unknown): Texts {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return {};
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, text]: [string, unknown]) =>
      ['string', 'number', 'boolean'].includes(typeof text) ? [[name, String(text)]] : [],
    ),
  );
}

const toRational = (text: string | undefined): Rational | undefined =>
  text === undefined ? undefined : parseRational(text);

const toAddress = (text: string | undefined): Address | undefined =>
  text === undefined ? undefined : parseAddress(text);

function toModel(text: string): { capability: number; model: string } {
  const slash = text.indexOf('/');
  return { capability: Number(text.slice(0, slash)), model: text.slice(slash + 1) };
}
