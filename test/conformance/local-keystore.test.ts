import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll } from 'vitest';
import { plugin } from '../../plugins/local-keystore/index.ts';
import { Secret } from '../../src/keys/provider.ts';
import { gethLight, password, privateKeyHex } from '../plugins/local-keystore/support.ts';
import { testConformance } from './run-cases.ts';

const folder = mkdtempSync(join(tmpdir(), 'conformance-keystore-'));
writeFileSync(join(folder, 'key.json'), JSON.stringify(gethLight), { mode: 0o600 });
afterAll(() => rmSync(folder, { recursive: true }));

testConformance('local-keystore', {
  open: () =>
    plugin.open(plugin.configSchema.parse({ path: 'key.json', password: 'env:PASSWORD' }), {
      resolvePath: (path) => resolve(folder, path),
      readSecret: () => new Secret(password),
      log: () => undefined,
    }),
  secrets: [privateKeyHex, password],
});
