import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parsePolicy } from '../../src/config/policy-file.ts';
import { Folder, devConfig, run } from '../cli/cli.ts';
import { gethLight, standardName } from '../plugins/local-keystore/support.ts';
import { readDocument } from './markdown.ts';

type Example = { readonly file: string; readonly text: string };

const examples = ['docs/migration.md', 'docs/clearinghouses.md', 'docs/byoc.md'].flatMap((file) =>
  [...readDocument(file).matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text = '']): Example => ({
    file,
    text,
  })),
);
const isPolicy = ({ text }: Example): boolean => 'rules' in (parse(text) as object);

/** Where examples have secrets and data, which is below a folder here. */
const machineFolders = /(?<!\w)\/(?=run\/|var\/)/g;

describe('examples of configuration', () => {
  let folder: Folder;
  beforeAll(() => {
    folder = new Folder();
    const place = (path: string, text: string): void => {
      const file = join(folder.path, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text, { mode: 0o600 });
    };
    for (const name of ['keystore-password', 'clearinghouse-token', 'kafka-password']) {
      place(`run/secrets/${name}`, 'secret');
    }
    place('run/secrets/rpc-url', 'https://arbitrum.internal/v2/secret\n');
    place(`var/lib/livepeer/keystore/${standardName}`, JSON.stringify(gethLight));
    const hash = '0'.repeat(64);
    place('api-keys.yaml', `- { id: '0123456789ab', hash: '${hash}', principal: gateway-1 }\n`);
  });
  afterAll(() => folder[Symbol.dispose]());

  it('are there: both moves, a clearinghouse, jobs', () => {
    const configs = examples.filter((example) => !isPolicy(example)).map(({ file }) => file);
    expect(configs).toEqual([
      'docs/migration.md',
      'docs/migration.md',
      'docs/clearinghouses.md',
      'docs/byoc.md',
    ]);
    expect(examples.length - configs.length).toBe(2);
  });

  it.each(examples.filter((example) => !isPolicy(example)))(
    'pass `config check`, with a key and a chain: $file, $text',
    async ({ text }) => {
      const own = parse(text) as object;
      const missing = 'keys' in own ? '' : devConfig;
      const config = folder.write(
        'signer.yaml',
        missing + text.replaceAll(machineFolders, `${folder.path}/`),
      );
      const { status, stderr, stdout } = await run(['config', 'check', '--config', config]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(stdout).toContain(' is valid: ');
    },
  );

  it.each(examples.filter(isPolicy))('are valid policy files: $file', ({ file, text }) => {
    expect(parsePolicy(text, file).rules.length).toBeGreaterThan(0);
  });
});
