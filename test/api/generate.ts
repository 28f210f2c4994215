// npm run generate:api: writes docs/openapi.json anew.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeApi } from '../../src/admin/openapi.ts';

const docs = join(import.meta.dirname, '../../docs');
writeFileSync(join(docs, 'openapi.json'), `${JSON.stringify(describeApi(), null, 2)}\n`);
