import type { Router } from 'express';
import { json } from '../../http/send.ts';
import { mountRead } from '../mount-read.ts';

/** Machine-readable descriptions of the interfaces, each at its path. */
export function mountDocuments(router: Router, documents: Readonly<Record<string, object>>): void {
  for (const [path, document] of Object.entries(documents)) {
    const body = `${JSON.stringify(document)}\n`;
    mountRead(router, path, () => ({ status: 200, headers: json, body }));
  }
}
