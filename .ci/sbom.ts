// Writes the CycloneDX list of what the program runs with, sbom.cdx.json, and ends with 1 where a licence in it is none that may be
// passed on. Part of it: the optional packages and the SDKs of the key providers, which the image has. Not: what only
// builds and tests need.
//   npm run sbom -- [FILE]
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';

const root = join(import.meta.dirname, '..');

/** Those that ask for no more than to be named: SPDX. */
const allowedLicences = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'ISC',
  'MIT',
]);

const licence = z.union([
  z.object({ license: z.object({ id: z.string() }) }).transform(({ license }) => license.id),
  z.object({ license: z.object({ name: z.string() }) }).transform(({ license }) => license.name),
  z.object({ expression: z.string() }).transform(({ expression }) => expression),
]);

const componentSchema = z.looseObject({
  'bom-ref': z.string(),
  name: z.string(),
  licenses: z.array(z.unknown()).default([]),
});

const sbomSchema = z.looseObject({
  bomFormat: z.literal('CycloneDX'),
  metadata: z.looseObject({ component: z.looseObject({ 'bom-ref': z.string() }) }),
  components: z.array(componentSchema),
  dependencies: z.array(z.object({ ref: z.string(), dependsOn: z.array(z.string()) })),
});

type Component = z.infer<typeof componentSchema>;
type Sbom = z.infer<typeof sbomSchema>;

/** Each component with a licence that is not allowed, or with none; `NAME@VERSION: LICENCE`. */
export function findForbiddenLicences(components: readonly Component[]): string[] {
  return components.flatMap((component) => {
    const names = component.licenses.map((entry) => licence.parse(entry));
    const isAllowed = names.length > 0 && names.every(allows);
    return isAllowed ? [] : [`${component['bom-ref']}: ${names.join(', ') || 'none is named'}`];
  });
}

/** An SPDX expression: of `A OR B` one is enough, of `A AND B` both are needed. */
function allows(expression: string): boolean {
  return expression
    .replace(/^\((.*)\)$/, '$1')
    .split(' OR ')
    .some((choice) => choice.split(' AND ').every((id) => allowedLicences.has(id)));
}

/** What npm knows of the lock file, as far as the program itself leads to it. */
function readSbom(): Sbom {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<
    string,
    Record<string, string>
  >;
  const args = ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'];
  const output = execFileSync('npm', args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
  const all = sbomSchema.parse(JSON.parse(output));
  const sections = ['dependencies', 'optionalDependencies', 'peerDependencies'];
  const own = new Set(sections.flatMap((section) => Object.keys(manifest[section] ?? {})));
  const edges = new Map(all.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
  const rootRef = all.metadata.component['bom-ref'];
  const isOwn = (ref: string): boolean => own.has(nameOf(ref));
  const optionalPeers = readOptionalPeers();
  const direct = (edges.get(rootRef) ?? []).filter(isOwn);
  const reached = new Set([rootRef]);
  const pending = [...direct];
  for (let ref = pending.pop(); ref !== undefined; ref = pending.pop()) {
    if (reached.has(ref)) continue;
    reached.add(ref);
    const spared = optionalPeers.get(ref) ?? [];
    pending.push(...(edges.get(ref) ?? []).filter((next) => !spared.includes(nameOf(next))));
  }
  return {
    ...all,
    components: all.components.filter((component) => reached.has(component['bom-ref'])),
    dependencies: all.dependencies
      .filter(({ ref }) => reached.has(ref))
      .map(({ ref, dependsOn }) => ({
        ref,
        dependsOn: dependsOn.filter((next) => reached.has(next)),
      })),
  };
}

const nameOf = (ref: string): string => ref.slice(0, ref.lastIndexOf('@'));

/** By `NAME@VERSION`, what a package works together with where it is there: it is here, for tests, and is not installed for it. */
function readOptionalPeers(): Map<string, string[]> {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<
      string,
      { version: string; peerDependenciesMeta?: Record<string, { optional?: boolean }> }
    >;
  };
  return new Map(
    Object.entries(lock.packages)
      .filter(([path]) => path !== '')
      .map(([path, { version, peerDependenciesMeta = {} }]) => [
        `${path.replace(/^.*node_modules\//, '')}@${version}`,
        Object.keys(peerDependenciesMeta).filter(
          (name) => peerDependenciesMeta[name]?.optional === true,
        ),
      ]),
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const sbom = readSbom();
  const file = process.argv[2] ?? 'sbom.cdx.json';
  writeFileSync(file, `${JSON.stringify(sbom, null, 2)}\n`);
  const forbidden = findForbiddenLicences(sbom.components);
  for (const line of forbidden) process.stderr.write(`licence not allowed: ${line}\n`);
  process.stdout.write(
    `${file}: ${sbom.components.length} components, ${forbidden.length} with a licence that is not allowed\n`,
  );
  if (forbidden.length > 0) process.exitCode = 1;
}
