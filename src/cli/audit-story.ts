import type { FoundRecord, FoundRequest } from '../audit/find-request.ts';
import type { ChainedRecord } from '../audit/record.ts';
import { errorFamilies } from '../errors.ts';
import { formatDecimal, parseRational, rational } from '../pm/rational.ts';
import { formatUsd } from '../pm/usd.ts';
import { formatDuration } from '../policy/rules/duration.ts';
import type { Row } from './print-rows.ts';
import {
  checksummed,
  listOf,
  textOf,
  textsOf,
  ticketEvOf,
  toWhole,
  windowsOf,
} from './recorded.ts';
import { inWords, printable } from './terminal.ts';

/** What the log says about a request: everything was signed, the key failed, it was denied, or no outcome is recorded. */
export type Outcome = 'signed' | 'failed' | 'denied' | 'unfinished';

/** The outcome of a request, by its records. */
export function outcomeOf({ records }: FoundRequest): Outcome {
  const of = (wanted: string): number =>
    records.filter(({ record }) => record.kind === wanted).length;
  if (of('denied') > 0) return 'denied';
  if (of('failed') > 0) return 'failed';
  return of('signed') > 0 && of('signed') === of('key-use') ? 'signed' : 'unfinished';
}

const outcomes: Readonly<Record<Outcome, string>> = {
  signed: 'paid: the key signed all of it',
  failed: 'not paid: the key failed, and no signature was handed out',
  denied: 'denied: nothing was signed',
  unfinished: 'without an outcome: under way, or a crash came between; no signature was handed out',
};

/** One payment or denial for people, in rows. */
export function tellStory(found: FoundRequest, before: readonly FoundRecord[]): Row[] {
  const main = mainRecord(found);
  if (!main) return found.broken.map((problem) => ['broken record', printable(problem)]);
  const { chain, record } = main;
  const outcome = outcomeOf(found);
  return [
    ['request', printable(textOf(record, 'request'))],
    ['outcome', outcomes[outcome]],
    ['when', `${printable(record.time)}, record ${record.seq} of ${printable(chain)}`],
    ...(outcome === 'denied' ? describeDenial(record) : []),
    ...describeWho(record),
    ...describeSession(record),
    ...describeAmounts(record),
    ...windowsOf(record).map(({ rule, scope, windowMs, limit, maximum, spent, headroom }): Row => [
      `window ${printable(rule)}`,
      `${scope === '' ? 'shared by all' : printable(scope)}, ${printable(limit)} every ${formatDuration(windowMs)}: ` +
        `${spent} of ${maximum} spent, ${headroom} left`,
    ]),
    ...describeRules(record),
    ...found.records.flatMap(({ record: each }) => describeKeyUse(each, found)),
    ...found.records.map(({ chain: name, record: each }): Row => [
      'record',
      `${printable(name)}#${each.seq} ${printable(each.kind)}, as it was written: ${printable(each.hash)}`,
    ]),
    ...found.broken.map((problem): Row => ['broken record', printable(problem)]),
    ...before.map(({ chain: name, record: each }): Row => [
      'before it',
      describeBefore(name, each),
    ]),
  ];
}

/** The most informative record: the denial, or the tickets. */
export function mainRecord({ records }: FoundRequest): FoundRecord | undefined {
  return (
    records.find(({ record }) => record.kind === 'denied') ??
    records.find(({ record }) => record['intent'] === 'ticket-batch') ??
    records[0]
  );
}

function describeDenial(record: ChainedRecord): Row[] {
  const code = textOf(record, 'code');
  const data = textsOf(record, 'data');
  const { limit, actual, maximum, expected, retryAfterSeconds } = data;
  const family = Object.hasOwn(errorFamilies, code) ? ' (docs/errors.md)' : '';
  const found = [
    limit === undefined ? '' : `limit ${printable(limit)}`,
    actual === undefined ? '' : `found ${inDecimals(actual)}`,
    maximum === undefined ? '' : `allowed ${inDecimals(maximum)}`,
    expected === undefined ? '' : `expected ${printable(expected)}`,
    retryAfterSeconds === undefined ? '' : `again after ${printable(retryAfterSeconds)} s`,
  ].filter((part) => part !== '');
  const rule = textOf(record, 'rule');
  return [
    ['code', `${printable(code)}${family}`],
    ['why', inWords(textOf(record, 'message'))],
    ...(found.length > 0 ? [['in numbers', found.join(', ')] as const] : []),
    ...(rule === '' ? [] : [['rule', printable(rule)] as const]),
  ];
}

function describeWho(record: ChainedRecord): Row[] {
  const [principal, tenant] = [textOf(record, 'principal'), textOf(record, 'tenant')];
  const {
    app = '',
    type = '',
    orchestrator = '',
    recipient = '',
    manifestId = '',
    job = '',
    capability = '',
  } = textsOf(record, 'subject');
  const models = listOf(record, 'models').map(printable);
  const usage = Object.entries(textsOf(record, 'usage')).map(
    ([name, text]) => `${printable(name)} ${printable(text)}`,
  );
  return withText([
    ['asked by', principal === '' ? 'nobody who is known' : printable(principal)],
    ['for tenant', printableOrNothing(tenant)],
    ['payer', printableOrNothing(checksummed(textOf(record, 'sender')))],
    ['orchestrator', printableOrNothing(checksummed(orchestrator))],
    ['recipient', printableOrNothing(checksummed(recipient))],
    ['app', printableOrNothing(app)],
    ['type', printableOrNothing(type)],
    ['manifest id', printableOrNothing(manifestId)],
    ['job', printableOrNothing(job)],
    ['capability', printableOrNothing(capability)],
    ['models', models.join(', ')],
    ['client says', usage.join(', ')],
  ]);
}

function describeSession(record: ChainedRecord): Row[] {
  const {
    session = '',
    sequence = '',
    sessionSeconds,
    newSession,
    fork,
  } = textsOf(record, 'subject');
  const { sessionEvWei } = textsOf(record, 'amounts');
  if (session === '') return [];
  const parts = [
    printable(session),
    newSession === 'true' ? 'its first payment' : `payment ${printable(sequence)} after the first`,
    sessionSeconds === undefined ? '' : `begun ${printable(sessionSeconds)} s before`,
    sessionEvWei === undefined ? '' : `${printable(sessionEvWei)} wei of EV spent before`,
    fork === 'true' ? 'with a state that another request had used' : '',
  ];
  return [['session', parts.filter((part) => part !== '').join(', ')]];
}

function describeAmounts(record: ChainedRecord): Row[] {
  const amounts = textsOf(record, 'amounts');
  const { tickets, evWei, feeWei, faceValueWei, priceWei, initialPriceWei } = amounts;
  const ticketEv = ticketEvOf(amounts);
  const rate = parseRational(amounts['weiPerUsd'] ?? '');
  const inUsd = (wei: string | undefined): string => {
    const amount = toWhole(wei);
    return rate && rate.numerator > 0n && amount !== undefined
      ? ` (${formatUsd(rational(amount), rate)} USD)`
      : '';
  };
  return withText([
    ['tickets', tickets === undefined ? '' : printable(tickets)],
    [
      'a ticket',
      ticketEv && faceValueWei
        ? `${formatDecimal(ticketEv, 3)} wei of EV, face value ${faceValueWei} wei`
        : '',
    ],
    ['EV', evWei === undefined ? '' : `${printable(evWei)} wei${inUsd(evWei)}`],
    ['fee', feeWei === undefined ? '' : `${printable(feeWei)} wei${inUsd(feeWei)}`],
    ['price', priceWei === undefined ? '' : `${inDecimals(priceWei)} wei a unit`],
    [
      'first price',
      initialPriceWei === undefined ? '' : `${inDecimals(initialPriceWei)} wei a unit`,
    ],
  ]);
}

function describeRules(record: ChainedRecord): Row[] {
  return withText([
    ['rules', listOf(record, 'rules').map(printable).join(', ')],
    ['would deny', listOf(record, 'observed').map(printable).join(', ')],
  ]);
}

function describeKeyUse(record: ChainedRecord, { records }: FoundRequest): Row[] {
  if (record.kind !== 'key-use') return [];
  const use = textOf(record, 'use');
  const ended = records.find(
    ({ record: each }) => each.kind !== 'key-use' && textOf(each, 'use') === use,
  )?.record;
  const asked = `${listOf(record, 'digests').length} for ${printable(textOf(record, 'intent'))} of ${printable(textOf(record, 'key'))}`;
  if (ended?.kind === 'signed') {
    return [['signatures', `${asked}: given after ${printable(textOf(ended, 'latencyMs'))} ms`]];
  }
  if (ended?.kind !== 'failed') return [['signatures', `${asked}: no outcome`]];
  const [code, latency] = [textOf(ended, 'code'), textOf(ended, 'latencyMs')].map(printable);
  return [['signatures', `${asked}: failed with ${code} after ${latency} ms`]];
}

function describeBefore(chain: string, record: ChainedRecord): string {
  const { tickets = '', evWei = '' } = textsOf(record, 'amounts');
  const what =
    record.kind === 'denied'
      ? `denied ${printable(textOf(record, 'code'))}`
      : `${printable(tickets)} tickets, ${printable(evWei)} wei of EV`;
  return `${printable(record.time)} ${what}, request ${printable(textOf(record, 'request'))}, ${printable(chain)}#${record.seq}`;
}

/** A fraction as a decimal number. */
function inDecimals(text: string): string {
  const value = text.includes('/') ? parseRational(text) : undefined;
  return value ? formatDecimal(value, 3) : printable(text);
}

const printableOrNothing = (text: string): string => (text === '' ? '' : printable(text));

function withText(rows: readonly Row[]): Row[] {
  return rows.filter(([, text]) => text !== '');
}
