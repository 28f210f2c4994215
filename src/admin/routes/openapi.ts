import type { Router } from 'express';
import { json } from '../../http/send.ts';
import { mountRead } from '../mount-read.ts';
import { describeApi } from '../openapi.ts';

/** `/openapi.json`: the payment listener's routes, for programs that make clients. */
export function mountOpenApi(router: Router): void {
  const body = `${JSON.stringify(describeApi())}\n`;
  mountRead(router, '/openapi.json', () => ({ status: 200, headers: json, body }));
}
