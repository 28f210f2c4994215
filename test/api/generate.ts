// npm run generate:api: writes docs/openapi.json and docs/asyncapi.json anew.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeApi } from '../../src/admin/openapi.ts';
import { describeEvents } from '../../src/payments/describe-events.ts';

const docs = join(import.meta.dirname, '../../docs');
for (const [name, document] of [
  ['openapi', describeApi()],
  ['asyncapi', describeEvents()],
] as const) {
  writeFileSync(join(docs, `${name}.json`), `${JSON.stringify(document, null, 2)}\n`);
}
