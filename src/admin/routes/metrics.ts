import type { Router } from 'express';
import type { AdminSource } from '../admin-source.ts';
import { mountRead } from '../mount-read.ts';

/** `/metrics`, for Prometheus. */
export function mountMetrics(router: Router, { metrics }: Pick<AdminSource, 'metrics'>): void {
  mountRead(router, '/metrics', async () => {
    const { contentType, text } = await metrics();
    return { status: 200, headers: { 'Content-Type': contentType }, body: text };
  });
}
