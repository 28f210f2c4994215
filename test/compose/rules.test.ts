import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readRules } from '../../src/compose/rules.ts';
import { loadConfig } from '../../src/config/load.ts';
import { Folder, devConfig } from '../cli/cli.ts';

const windows = '{ id: a, mode: observe, window: { per: all, every: 1h, tickets: 1 } }';
const sessions = '{ id: a, mode: observe, limit: { sessionEv: 1 wei } }';

const enforced = '{ id: a, limit: { sessionEv: 1 wei } }';

async function read(folder: Folder, config: string, rule: string): Promise<readonly string[]> {
  folder.write('policy.yaml', `default: allow\nrules: [${rule}]`);
  const path = folder.write('signer.yaml', devConfig + config);
  return readRules(await loadConfig(path, {})).policy.ruleIds;
}

describe('the policy file of a configuration', () => {
  it.each([
    { config: 'policy: { file: policy.yaml }', rule: '{ id: a, then: deny }' },
    {
      config: 'policy: { file: policy.yaml }\nstore: { kind: embedded, path: spending }',
      rule: windows,
    },
    {
      config: 'policy: { file: policy.yaml }\nstore: { kind: redis, url: "redis://127.0.0.1:1" }',
      rule: windows,
    },
    { config: 'policy: { file: policy.yaml }', rule: sessions },
    { config: 'policy: { file: policy.yaml, forks: deny }', rule: enforced },
    {
      config: 'policy: { file: policy.yaml }\nstore: { kind: embedded, path: spending }',
      rule: enforced,
    },
    { config: 'policy: { file: policy.yaml }', rule: '{ id: a, limit: { sessionDuration: 1h } }' },
  ])('is taken: $config with $rule', async ({ config, rule }) => {
    using folder = new Folder();
    expect(await read(folder, config, rule)).toEqual(['a']);
  });

  it.each([
    { config: '', rule: windows, says: 'policy.file: missing' },
    { config: 'policy: { file: absent.yaml }', rule: windows, says: 'it does not exist' },
    { config: 'policy: { file: policy.yaml }', rule: windows, says: 'set store.path' },
    {
      config: 'policy: { file: policy.yaml }\nsession: { fields: upstream }',
      rule: sessions,
      says: 'limits sessions',
    },
    {
      config: 'policy: { file: policy.yaml }',
      rule: enforced,
      says: 'over forks of its state: set store.path, or store.kind: redis, or policy.forks: deny',
    },
  ])('is refused: $says', async ({ config, rule, says }) => {
    using folder = new Folder();
    await expect(read(folder, config, rule)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(says) as string,
    });
  });

  it('is found from the folder of the configuration', async () => {
    using folder = new Folder();
    folder.write('policy.yaml', 'default: allow');
    const path = folder.write('signer.yaml', `${devConfig}policy: { file: policy.yaml }`);
    expect(readRules(await loadConfig(path, {})).path).toBe(join(folder.path, 'policy.yaml'));
  });
});
