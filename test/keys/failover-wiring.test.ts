import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type KeyConfig, loadConfig } from '../../src/config/load.ts';
import { configSchema } from '../../src/config/schema.ts';
import { ProviderError } from '../../src/keys/provider.ts';
import { startSigner } from '../../src/main.ts';
import { plugin as localKeystore } from '../../plugins/local-keystore/index.ts';
import { createProviderContext } from '../../src/compose/key.ts';
import { readRecords } from '../guardrails/evidence.ts';
import { soon } from '../support/soon.ts';
import { createTestKey } from '../support/test-key.ts';
import { vectorChain } from '../support/test-signer.ts';
import { vectors } from '../vectors/vectors.ts';

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

  it('records what a member signs that proves itself after it has failed', async () => {
    let fails = false;
    const key = createTestKey(vectors.key.privateKey, {
      reply: (bytes) => {
        if (fails) throw new ProviderError('PROVIDER_UNAVAILABLE', 'gone');
        return { encoding: 'raw', bytes };
      },
    });
    const member = (index: number): KeyConfig => ({
      name: `keys.${index}:test-key`,
      plugin: key.plugin,
      section: {},
      generateIfMissing: false,
      isRetiring: false,
    });
    const audit = join(folder, 'audit');
    const settings = configSchema.parse({
      server: { listen: '127.0.0.1:0' },
      keys: [{ provider: 'test-key' }, { provider: 'test-key' }],
      failover: { probeIntervalMs: 100 },
      audit: { path: audit },
      byoc: { enabled: true },
      chain: vectorChain,
    });
    const config = {
      settings,
      keys: [member(0), member(1)] as const,
      resolvePath: (path: string) => path,
    };
    const signer = await startSigner(config, logger);
    const job = { id: 'j', capability: 'c', request: '', parameters: '', timeout_seconds: 1 };
    const sign = async (): Promise<number> => {
      const body = JSON.stringify(job);
      return (await fetch(`${signer.url}/sign-byoc-job`, { method: 'POST', body })).status;
    };
    key.reset();
    fails = true;
    expect(await sign()).toBe(503);
    fails = false;
    // a use is recorded before the key is asked, its signature after
    const signedProofs = () => {
      const records = readRecords(audit);
      const signed = new Set(records.filter(({ kind }) => kind === 'signed').map(({ use }) => use));
      return records.filter(
        ({ kind, intent, key: keyRef, use }) =>
          kind === 'key-use' &&
          intent === 'self-test' &&
          keyRef === 'test-key:memory' &&
          signed.has(use),
      );
    };
    await soon(() => expect(signedProofs().length).toBeGreaterThanOrEqual(2));
    await signer.close();
    expect(key.selfTests).toBeGreaterThanOrEqual(signedProofs().length);
  });

  it('refuses generateIfMissing with several keys', async () => {
    const more = '    generateIfMissing: true\n';
    await expect(load(entry('a', more) + entry('b', more))).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('keys: generateIfMissing needs a single key') as string,
    });
  });
});
