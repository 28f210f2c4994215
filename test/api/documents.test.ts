import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeAdminApi } from '../../src/admin/admin-api.ts';
import { describeApi } from '../../src/admin/openapi.ts';
import { describeEvents } from '../../src/payments/describe-events.ts';
import { root } from '../cli/cli.ts';

it.each([
  ['docs/openapi.json', describeApi],
  ['docs/openapi-admin.json', describeAdminApi],
  ['docs/asyncapi.json', describeEvents],
])('%s is what the code says; npm run generate:api writes it anew', (path, describeAnew) => {
  expect(JSON.parse(readFileSync(join(root, path), 'utf8'))).toEqual(describeAnew());
});
