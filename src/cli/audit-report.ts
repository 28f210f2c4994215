import type { ChainedRecord } from '../audit/record.ts';
import { parseRational } from '../pm/rational.ts';
import type { reportKeys } from './arguments.ts';
import { verifyOrReport } from './audit.ts';
import { requireChains } from './audit-chains.ts';
import { quoteCell } from './audit-format.ts';
import { textOf, textsOf, toWhole } from './recorded.ts';
import { endWhenNobodyReads, print, printable, toVisibleJson } from './terminal.ts';

export type ReportOptions = {
  readonly by: (typeof reportKeys)[number];
  /** Unix milliseconds */
  readonly from?: number;
  readonly to?: number;
  readonly format: 'table' | 'csv' | 'json';
};

/** The sums of what was paid and denied in a period. */
type Sums = {
  payments: bigint;
  tickets: bigint;
  evWei: bigint;
  feeWei: bigint;
  /** 10^-18 US dollars, for the payments whose record has a rate */
  feeAttoUsd: bigint;
  paymentsWithoutRate: bigint;
  denials: bigint;
};

/** A payment whose signatures are not on record yet. */
type Pending = { readonly key: string; readonly record: ChainedRecord };

/**
 * `audit report`: what was paid, over all chains, which are verified at the same time; exit code 1 where one is broken, which is
 * then counted up to the break. A payment counts at the time when its tickets were signed. The sums are exact; memory grows with
 * the number of names, not with the log.
 */
export async function reportAudit(folder: string, options: ReportOptions): Promise<void> {
  endWhenNobodyReads();
  const { by, from = -Infinity, to = Infinity, format } = options;
  const sums = new Map<string, Sums>();
  const sumsOf = (key: string): Sums => {
    const known = sums.get(key) ?? nothing();
    sums.set(key, known);
    return known;
  };
  for (const chain of await requireChains(folder)) {
    const pending = new Map<string, Pending>();
    await verifyOrReport(chain, (record) => {
      const time = Date.parse(record.time);
      const isInTime = time >= from && time < to;
      const use = textOf(record, 'use');
      switch (record.kind) {
        case 'start':
          // a use that a crash has interrupted never gets an outcome
          pending.clear();
          break;
        case 'key-use':
          if (record['intent'] === 'ticket-batch')
            pending.set(use, { key: keyOf(record, by), record });
          break;
        case 'signed': {
          const payment = pending.get(use);
          pending.delete(use);
          if (payment && isInTime) addPayment(sumsOf(payment.key), payment.record);
          break;
        }
        case 'failed':
          pending.delete(use);
          break;
        case 'denied':
          if (isInTime) sumsOf(keyOf(record, by)).denials += 1n;
          break;
      }
      return undefined;
    });
  }
  const rows = [...sums].sort(([a, one], [b, other]) =>
    one.evWei === other.evWei ? (a < b ? -1 : 1) : one.evWei > other.evWei ? -1 : 1,
  );
  await printers[format](by, rows);
}

function keyOf(record: ChainedRecord, by: ReportOptions['by']): string {
  return by === 'tenant' || by === 'principal'
    ? textOf(record, by)
    : (textsOf(record, 'subject')[by] ?? '');
}

function nothing(): Sums {
  return {
    payments: 0n,
    tickets: 0n,
    evWei: 0n,
    feeWei: 0n,
    feeAttoUsd: 0n,
    paymentsWithoutRate: 0n,
    denials: 0n,
  };
}

const attoUsdPerUsd = 10n ** 18n;

function addPayment(sums: Sums, record: ChainedRecord): void {
  const { tickets, evWei, feeWei, weiPerUsd = '' } = textsOf(record, 'amounts');
  const fee = toWhole(feeWei) ?? 0n;
  sums.payments += 1n;
  sums.tickets += toWhole(tickets) ?? 0n;
  sums.evWei += toWhole(evWei) ?? 0n;
  sums.feeWei += fee;
  const rate = parseRational(weiPerUsd);
  if (rate && rate.numerator > 0n) {
    sums.feeAttoUsd += (fee * rate.denominator * attoUsdPerUsd) / rate.numerator;
  } else {
    sums.paymentsWithoutRate += 1n;
  }
}

type SumRows = readonly (readonly [key: string, sums: Sums])[];

const columns = [
  'payments',
  'tickets',
  'ev_wei',
  'fee_wei',
  'fee_usd',
  'payments_without_usd',
  'denials',
] as const;

function cellsOf(sums: Sums): string[] {
  const { payments, tickets, evWei, feeWei, feeAttoUsd, paymentsWithoutRate, denials } = sums;
  const counts = [payments, tickets, evWei, feeWei].map(String);
  return [...counts, formatAtto(feeAttoUsd), `${paymentsWithoutRate}`, `${denials}`];
}

function formatAtto(amount: bigint): string {
  const places = (amount % attoUsdPerUsd).toString().padStart(18, '0').replace(/0+$/, '');
  const whole = amount / attoUsdPerUsd;
  return places === '' ? `${whole}` : `${whole}.${places}`;
}

const printers: Readonly<
  Record<ReportOptions['format'], (by: string, rows: SumRows) => Promise<void>>
> = {
  async table(by, rows) {
    const total = nothing();
    for (const [, sums] of rows) {
      for (const name of Object.keys(total) as (keyof Sums)[]) total[name] += sums[name];
    }
    const lines = [
      [by, ...columns],
      ...rows.map(([key, sums]) => [key === '' ? '-' : printable(key), ...cellsOf(sums)]),
      ['total', ...cellsOf(total)],
    ];
    const widths = lines[0]?.map((_, column) =>
      Math.max(...lines.map((cells) => cells[column]?.length ?? 0)),
    );
    for (const cells of lines) {
      const padded = cells.map((cell, column) => {
        const width = widths?.[column] ?? 0;
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      });
      await print(padded.join('  ').trimEnd());
    }
  },
  async csv(by, rows) {
    await print([by, ...columns].join(','));
    for (const [key, sums] of rows) await print([key, ...cellsOf(sums)].map(quoteCell).join(','));
  },
  async json(by, rows) {
    const objects = rows.map(([key, sums]) => {
      const cells = cellsOf(sums);
      return {
        [by]: key,
        ...Object.fromEntries(columns.map((name, index) => [name, cells[index]])),
      };
    });
    await print(toVisibleJson(objects));
  },
};
