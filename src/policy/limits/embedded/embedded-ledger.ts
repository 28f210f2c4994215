import { InternalError } from '../../../errors.ts';
import type { SpendLedger } from '../ledger.ts';
import { LedgerThread } from './ledger-thread.ts';
import type { FileResult } from './ledger-file.ts';

export type EmbeddedLedgerOptions = {
  /** created where it is missing; must be on a local disk */
  readonly folder: string;
  readonly log: (level: 'info' | 'warn', message: string) => void;
  /** whole Unix milliseconds that never go back; by default the machine's clock at start, continued by the monotonic clock */
  readonly now?: () => number;
};

/**
 * Opens the ledger in the SQLite file `spend.sqlite` of a folder, which the workers of one signer share. Throws
 * `LEDGER_UNAVAILABLE`; its message names the file and what to do.
 */
export async function openEmbeddedLedger({
  folder,
  log,
  now = startClock(),
}: EmbeddedLedgerOptions): Promise<SpendLedger> {
  const thread = new LedgerThread({ folder, log, now });
  const checkHealth = async (): Promise<void> => {
    await thread.ask({ kind: 'check' }, AbortSignal.timeout(askTimeoutMs));
  };
  try {
    await checkHealth();
  } catch (error) {
    await thread.close();
    throw error;
  }
  return {
    async reserve(charges, spend, signal, session) {
      const release = async (result: FileResult, unused = spend): Promise<void> => {
        if (result.kind !== 'reserved') return;
        const { slots } = result;
        const counted = { counters: charges, slots, session: session?.id };
        await thread.tell({ kind: 'release', ...counted, spend: unused });
      };
      const request = { kind: 'reserve', charges, spend, session } as const;
      const result = await thread.ask(request, signal, (late) => void release(late));
      if (result.kind === 'exceeded' || result.kind === 'session-exceeded') return result;
      if (result.kind !== 'reserved') throw unexpected(result);
      let released: Promise<void> | undefined;
      return {
        kind: 'reserved',
        observed: result.observed,
        release: (unused) => (released ??= release(result, unused)),
      };
    },
    async usage(charges) {
      const request = { kind: 'usage', counters: charges } as const;
      const result = await thread.ask(request, AbortSignal.timeout(askTimeoutMs));
      if (result.kind !== 'usage') throw unexpected(result);
      return result.spent;
    },
    checkHealth,
    close: () => thread.close(),
  };
}

/** The time for questions that come without a deadline. */
const askTimeoutMs = 5_000;

/** A clock that setting the machine's clock does not change while the signer runs: that must not free any window. */
function startClock(): () => number {
  const startedMs = Date.now() - performance.now();
  return () => Math.floor(startedMs + performance.now());
}

function unexpected({ kind }: FileResult): InternalError {
  return new InternalError('INTERNAL', `the spend ledger answered ${kind}`);
}
