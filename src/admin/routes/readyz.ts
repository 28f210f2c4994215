import type { Router } from 'express';
import { z } from 'zod';
import { json } from '../../http/send.ts';
import type { AdminSource } from '../admin-source.ts';
import { mountRead } from '../mount-read.ts';
import type { SignerStatus } from '../signer-status.ts';

/** The state of each part that payments need, by name. */
export const partsSchema = z.record(
  z.string(),
  z.strictObject({
    ready: z.boolean(),
    code: z.string().optional().describe('of docs/errors.md; absent while it is ready'),
    reason: z.string().optional().describe('may name hosts and files'),
    ageMs: z.int().describe('how old what is known of it is'),
    worker: z.int().describe('who says so: the worst of all workers'),
  }),
);

/** The answer to `GET /readyz`. */
export const readinessSchema = z.strictObject({ ready: z.boolean(), parts: partsSchema });

/** `/readyz`: 200 while payments can be made by every worker, 503 otherwise; each part with its reason and age. */
export function mountReadyz(router: Router, { status }: Pick<AdminSource, 'status'>): void {
  mountRead(router, '/readyz', async () => {
    const { isReady, parts } = await status();
    const answer: z.infer<typeof readinessSchema> = {
      ready: isReady,
      parts: describeParts(parts),
    };
    return {
      status: isReady ? 200 : 503,
      headers: json,
      body: `${JSON.stringify(answer)}\n`,
    };
  });
}

/** The parts by name; undefined fields are left out of JSON. */
export function describeParts(parts: SignerStatus['parts']): z.infer<typeof partsSchema> {
  return Object.fromEntries(
    parts.map(({ name, isReady, code, reason, ageMs, worker }) => [
      name,
      { ready: isReady, code, reason, ageMs, worker },
    ]),
  );
}
