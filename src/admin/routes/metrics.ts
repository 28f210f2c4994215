import type { Router } from 'express';
import type { AdminSource } from '../admin-source.ts';
import { mountRead } from '../mount-read.ts';

/** `/metrics`, for Prometheus: in its own text format, or as OpenMetrics for clients that accept it. */
export function mountMetrics(router: Router, { metrics }: Pick<AdminSource, 'metrics'>): void {
  mountRead(router, '/metrics', async ({ headers }) => {
    const asksForOpenMetrics = headers.accept?.includes('application/openmetrics-text') === true;
    const { contentType, text } = await metrics(asksForOpenMetrics ? 'openmetrics' : 'prometheus');
    return { status: 200, headers: { 'Content-Type': contentType, Vary: 'Accept' }, body: text };
  });
}
