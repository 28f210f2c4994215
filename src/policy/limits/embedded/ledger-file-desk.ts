import { LedgerFileError } from './ledger-file-error.ts';
import { type FileRequest, type FileResult, LedgerFile } from './ledger-file.ts';

export type LedgerBatch = { readonly requests: readonly FileRequest[]; readonly timeMs: number };

export type LedgerReply =
  | { readonly results: readonly FileResult[] }
  | { readonly failure: { readonly message: string; readonly details: string } };

/** Answers batches of requests from the ledger's file, which it opens for the first of them. */
export class LedgerFileDesk {
  readonly #folder: string;
  #file: LedgerFile | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Answers one batch. Never throws: after any failure of the file, the file is opened anew for the next batch. */
  answer({ requests, timeMs }: LedgerBatch): LedgerReply {
    try {
      this.#file ??= new LedgerFile(this.#folder);
      return { results: this.#file.answer(requests, timeMs) };
    } catch (error) {
      this.close();
      const details = error instanceof LedgerFileError ? error.details : String(error);
      return { failure: { message: (error as Error).message, details } };
    }
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}
