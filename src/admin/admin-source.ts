import type { SignerStatus } from './signer-status.ts';

/** What the admin listener reports on: a signer of one process, or all workers of a signer. */
export type AdminSource = {
  readonly status: () => Promise<SignerStatus>;
  readonly metrics: (
    format: 'prometheus' | 'openmetrics',
  ) => Promise<{ readonly contentType: string; readonly text: string }>;
};
