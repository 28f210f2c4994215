import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { startSigner } from '../../src/main.ts';
import { plugin as localKeystore } from '../../plugins/local-keystore/index.ts';
import { createProviderContext } from '../../src/compose/key.ts';

const logger = pino({ level: 'silent' });

describe('a configuration with several keys', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'failover-'));
    writeFileSync(join(folder, 'password'), 'correct horse');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const entry = (path: string, more = '') =>
    `  - provider: local-keystore\n    path: ${path}\n    password: file:password\n${more}`;

  function load(keys: string) {
    const file = join(folder, 'signer.yaml');
    writeFileSync(
      file,
      `server: { listen: 127.0.0.1:0 }\nkeys:\n${keys}chain:\n  source: static\n  l1Block: 1\n  round: 1\n` +
        `  roundBlockHash: "0x${'11'.repeat(32)}"\n  deposit: 1 ether\n  reserve: 1 ether\n`,
    );
    return loadConfig(file, {});
  }

  async function makeKey(path: string): Promise<void> {
    const config = await load(entry(path));
    const [key] = config.keys;
    await localKeystore.generateKey?.(
      key.section as Parameters<typeof localKeystore.open>[0],
      createProviderContext(config, key, logger),
    );
  }

  it('starts on two providers of one key', async () => {
    await makeKey('a');
    const signer = await startSigner(await load(entry('a') + entry('a')), logger);
    const answer = await fetch(`${signer.url}/sign-orchestrator-info`, { method: 'POST' });
    expect(answer.status).toBe(200);
    await signer.close();
  });

  it('does not start on two different keys, and names both', async () => {
    await makeKey('a');
    await makeKey('b');
    const start = startSigner(await load(entry('a') + entry('b')), logger);
    await expect(start).rejects.toMatchObject({
      code: 'KEY_UNSUITABLE',
      // whichever opened first is the one that the other is compared with
      message: expect.stringMatching(
        /keys\.([01]):local-keystore.*keys\.(?!\1)[01]:local-keystore/,
      ) as string,
    });
  });

  it('refuses generateIfMissing with several keys', async () => {
    const more = '    generateIfMissing: true\n';
    await expect(load(entry('a', more) + entry('b', more))).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('keys: generateIfMissing needs a single key') as string,
    });
  });
});
