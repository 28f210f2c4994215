import express from 'express';
import { json, send } from '../http/send.ts';
import type { Readiness } from './readiness.ts';

/** `/healthz`, 200 while the process runs, and `/readyz`, 200 or 503 with a report. */
export function createHealthRoutes(
  checkReadiness: () => Promise<Pick<Readiness, 'isReady' | 'report'>>,
): express.Router {
  const router = express.Router({ strict: true, caseSensitive: true });
  router.all('/healthz', (_request, response) =>
    send(response, { status: 200, headers: {}, body: '' }),
  );
  router.all('/readyz', async (_request, response) => {
    const { isReady, report } = await checkReadiness();
    const body = `${JSON.stringify(report)}\n`;
    send(response, { status: isReady ? 200 : 503, headers: json, body });
  });
  return router;
}
