// npm run generate:api: writes docs/openapi.json, docs/openapi-admin.json and docs/asyncapi.json anew.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeAdminApi } from '../../src/admin/admin-api.ts';
import { describeApi } from '../../src/admin/openapi.ts';
import { describeEvents } from '../../src/payments/describe-events.ts';

const docs = join(import.meta.dirname, '../../docs');
for (const [name, document] of [
  ['openapi', describeApi()],
  ['openapi-admin', describeAdminApi()],
  ['asyncapi', describeEvents()],
] as const) {
  writeFileSync(join(docs, `${name}.json`), `${JSON.stringify(document, null, 2)}\n`);
}
