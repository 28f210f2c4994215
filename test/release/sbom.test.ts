import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findForbiddenLicences } from '../../.ci/sbom.ts';
import { Folder, root } from '../cli/cli.ts';

type Sbom = {
  readonly bomFormat: string;
  readonly components: readonly {
    readonly name: string;
    readonly version: string;
    readonly hashes: readonly object[];
  }[];
};

type Manifest = Readonly<
  Record<
    'dependencies' | 'optionalDependencies' | 'devDependencies' | 'peerDependencies',
    Record<string, string>
  >
>;

describe('npm run sbom', () => {
  it('lists what the program runs with, by version and hash, and nothing that is only for tests; all licences are allowed', () => {
    using folder = new Folder();
    const file = join(folder.path, 'sbom.cdx.json');
    const { status, stdout, stderr } = spawnSync('npm', ['run', '-s', 'sbom', '--', file], {
      cwd: root,
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const sbom = JSON.parse(readFileSync(file, 'utf8')) as Sbom;
    expect(sbom.bomFormat).toBe('CycloneDX');
    expect(stdout).toBe(
      `${file}: ${sbom.components.length} components, 0 with a licence that is not allowed\n`,
    );
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;
    const versions = new Map(sbom.components.map(({ name, version }) => [name, version]));
    for (const [name, version] of Object.entries({
      ...manifest.dependencies,
      ...manifest.optionalDependencies,
    })) {
      expect([name, versions.get(name)]).toEqual([name, version]);
    }
    for (const name of Object.keys(manifest.peerDependencies))
      expect(versions.has(name)).toBe(true);
    for (const name of ['vitest', 'eslint', 'typescript']) expect(versions.has(name)).toBe(false);
    expect(sbom.components.filter(({ hashes }) => hashes.length === 0)).toEqual([]);
  });
});

describe('the licence check', () => {
  const component = (...licenses: object[]) => ({ 'bom-ref': 'a@1.0.0', name: 'a', licenses });

  it.each([
    [{ license: { id: 'MIT' } }],
    [{ expression: '(MIT OR GPL-3.0-only)' }],
    [{ expression: '(Apache-2.0 AND BSD-3-Clause)' }],
  ])('allows %j', (entry) => {
    expect(findForbiddenLicences([component(entry)])).toEqual([]);
  });

  it.each([
    [{ license: { id: 'GPL-3.0-only' } }, 'GPL-3.0-only'],
    [{ expression: '(MIT AND AGPL-3.0-only)' }, '(MIT AND AGPL-3.0-only)'],
    [{ license: { name: 'SEE LICENSE IN FILE' } }, 'SEE LICENSE IN FILE'],
  ])('refuses %j', (entry, name) => {
    expect(findForbiddenLicences([component(entry)])).toEqual([`a@1.0.0: ${name}`]);
  });

  it('refuses a package that names none', () => {
    expect(findForbiddenLicences([component()])).toEqual(['a@1.0.0: none is named']);
  });
});
