import type { Router } from 'express';
import { json } from '../../http/send.ts';
import type { AdminSource } from '../admin-source.ts';
import { mountRead } from '../mount-read.ts';
import type { SignerStatus } from '../signer-status.ts';

/** `/readyz`: 200 while payments can be made by every worker, 503 otherwise; each part with its reason and age. */
export function mountReadyz(router: Router, { status }: Pick<AdminSource, 'status'>): void {
  mountRead(router, '/readyz', async () => {
    const { isReady, parts } = await status();
    const body = JSON.stringify({ ready: isReady, parts: describeParts(parts) });
    return { status: isReady ? 200 : 503, headers: json, body: `${body}\n` };
  });
}

/** By name; what is undefined stays out of JSON. */
export function describeParts(parts: SignerStatus['parts']): object {
  return Object.fromEntries(
    parts.map(({ name, isReady, code, reason, ageMs, worker }) => [
      name,
      { ready: isReady, code, reason, ageMs, worker },
    ]),
  );
}
