import { z } from 'zod';
import { RecordsError } from '../../errors.ts';
import { tryParseJson } from '../../try-parse-json.ts';
import type { Counter, SlotSpend } from './windows.ts';

/** The content of a ledger, as records; amounts are exact, in wei. */
export type LedgerRecord =
  /** the ledger's time, Unix ms: a ledger that takes the records over must not go on from an earlier one */
  | { readonly kind: 'clock'; readonly timeMs: number }
  | (Counter & {
      readonly kind: 'counter';
      /** the slots that still count, the oldest first; the last one is the newest slot, even if nothing was spent in it */
      readonly slots: readonly SlotSpend[];
    })
  /** what a session has spent, and until when that is kept, Unix ms */
  | {
      readonly kind: 'session';
      readonly id: string;
      readonly ev: bigint;
      readonly expiresMs: number;
    };

/** A whole ledger, to be read or filled while nobody spends from it. */
export type LedgerArchive = {
  /** All records. Throws `LEDGER_UNAVAILABLE`. */
  read(): Promise<readonly LedgerRecord[]>;
  /** Adds records, none of which may be there yet. Throws `LEDGER_UNAVAILABLE`. */
  write(records: readonly LedgerRecord[]): Promise<void>;
  close(): Promise<void>;
};

const amount = z
  .string()
  .regex(/^\d{1,60}$/)
  .transform(BigInt);
const time = z.int().nonnegative();
const lineSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('clock'), timeMs: time }),
  z.strictObject({
    kind: z.literal('counter'),
    ruleId: z.string(),
    scope: z.string(),
    windowMs: z.int().positive(),
    slots: z
      .array(
        z.strictObject({
          slot: time,
          spent: z.strictObject({ ev: amount, tickets: amount, sessions: amount }),
        }),
      )
      .min(1),
  }),
  z.strictObject({ kind: z.literal('session'), id: z.string(), ev: amount, expiresMs: time }),
]);

const head = { format: 'livepeer-hsm-signer spend ledger', version: 1 } as const;
const headSchema = z.strictObject({
  format: z.literal(head.format),
  version: z.literal(head.version),
  records: z.int().nonnegative(),
});

/** Writes records as JSON, one on each line; the first line says what the file is, and how many records follow. */
export function formatLedger(records: readonly LedgerRecord[]): string {
  const lines = [{ ...head, records: records.length }, ...records].map((line) =>
    JSON.stringify(line, (_, value: unknown) =>
      typeof value === 'bigint' ? value.toString() : value,
    ),
  );
  return `${lines.join('\n')}\n`;
}

/** Reads what {@link formatLedger} writes. Throws `LEDGER_UNAVAILABLE` for anything but a whole export. */
export function parseLedger(text: string): LedgerRecord[] {
  const [first = '', ...lines] = text.trimEnd().split('\n');
  const { data: header } = headSchema.safeParse(tryParseJson(first));
  if (!header) throw unusable('it is no export of a spend ledger that this program knows');
  if (header.records !== lines.length) {
    throw unusable(`it has ${lines.length} of ${header.records} records`);
  }
  return lines.map((line, index) => {
    const { data } = lineSchema.safeParse(tryParseJson(line));
    if (data) return data;
    throw unusable(`line ${index + 2} is no record of a spend ledger`);
  });
}

/**
 * Imports records into a ledger that is empty, or that holds only some of these same records, so that an interrupted import can
 * be repeated. Resolves with the number of records that were added. Where there is anything else, it throws `LEDGER_UNAVAILABLE`
 * before anything is written.
 */
export async function importLedger(
  archive: LedgerArchive,
  records: readonly LedgerRecord[],
): Promise<number> {
  const brought = new Map(records.map((record) => [nameOf(record), formatLedger([record])]));
  const present = (await archive.read()).filter(({ kind }) => kind !== 'clock');
  for (const record of present) {
    if (brought.get(nameOf(record)) === formatLedger([record])) continue;
    throw new RecordsError(
      'LEDGER_UNAVAILABLE',
      `the ledger that should take it is not empty: ${describe(record)} has been spent from; nothing was imported`,
    );
  }
  const known = new Set(present.map(nameOf));
  const missing = records.filter((record) => !known.has(nameOf(record)));
  await archive.write(missing);
  return missing.filter(({ kind }) => kind !== 'clock').length;
}

function nameOf(record: LedgerRecord): string {
  if (record.kind === 'clock') return 'clock';
  if (record.kind === 'session') return `session ${record.id}`;
  return JSON.stringify([record.ruleId, record.scope, record.windowMs]);
}

function describe(record: LedgerRecord): string {
  if (record.kind !== 'counter') return `a ${record.kind}`;
  return record.scope === '' ? `rule ${record.ruleId}` : `rule ${record.ruleId}, ${record.scope},`;
}

function unusable(why: string): RecordsError {
  return new RecordsError('LEDGER_UNAVAILABLE', `the file can't be imported: ${why}`);
}
