import type { Router } from 'express';
import { mountRead } from '../mount-read.ts';

/** `/healthz`: 200 while the process runs. */
export function mountHealthz(router: Router): void {
  mountRead(router, '/healthz', () => ({ status: 200, headers: {}, body: '' }));
}
