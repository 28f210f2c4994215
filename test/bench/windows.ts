import { setTimeout as delay } from 'node:timers/promises';
import { runLoad } from './load.ts';
import { median } from './result.ts';
import type { SignerProcess } from './signer-process.ts';

/** What a short time under load came to. */
export type Window = {
  readonly perSecond: number;
  /** of a payment */
  readonly cpuMicroseconds: number;
  readonly latencyMs: number;
};

export type PayingSigner = Pick<SignerProcess, 'url' | 'pid' | 'cpuMicroseconds'>;

/** Requests under way at once. */
const concurrency = 16;
/** What follows a payment within a second, such as the delivery of its event, counts as its cost. */
const settleMs = 1_300;

/** How windows are measured, for a table's note. */
export const windowNote =
  `payments of one ticket in running sessions, one worker, ${concurrency} requests under way at once, local keystore, audit log; ` +
  `CPU of all threads and processes of the signer, until ${settleMs / 1000} s after the last payment`;

/** Payments of one ticket for so long; nothing else is known of them but what the load reports. */
export function payFor({ url, cpuMicroseconds }: PayingSigner, durationMs: number) {
  const order = { kind: 'payments', connections: concurrency, tickets: 1, warmUpMs: 0 } as const;
  return runLoad({ ...order, durationMs, url }, cpuMicroseconds);
}

/** Ends with the load; what it gives has settled `settleMs` later, while other signers are under load. */
export async function measureWindow(
  signer: PayingSigner,
  windowMs: number,
): Promise<() => Promise<Window>> {
  const before = signer.cpuMicroseconds();
  const { requests, perSecond, latenciesMs } = await payFor(signer, windowMs);
  const settled = delay(settleMs).then(() => signer.cpuMicroseconds() - before);
  const latencyMs = median(latenciesMs);
  return async () => ({ perSecond, cpuMicroseconds: (await settled) / requests, latencyMs });
}
