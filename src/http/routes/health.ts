import type { Router } from 'express';
import { json, send } from '../send.ts';

export type HealthRoute = {
  /** Whether a payment could be made now. */
  readonly isReady: () => Promise<boolean>;
};

/**
 * `/healthz`, 200 while the process runs, and `/readyz`, 200 or 503. Callers learn no more than that here: the reasons are on the
 * operator's listener.
 */
export function mountHealth(router: Router, { isReady }: HealthRoute): void {
  router.all('/healthz', (_request, response) =>
    send(response, { status: 200, headers: {}, body: '' }),
  );
  router.all('/readyz', async (_request, response) => {
    const ready = await isReady();
    const body = `${JSON.stringify({ ready })}\n`;
    send(response, { status: ready ? 200 : 503, headers: json, body });
  });
}
