import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

function sourceFiles(): { path: string; text: string }[] {
  return ['src', 'plugins'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.[cm]?[jt]s$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => ({ path: relative(root, path), text: readFileSync(path, 'utf8') })),
  );
}

type Use = {
  readonly path: string;
  readonly method: string;
  readonly kind: 'call' | 'definition' | 'question' | 'reference' | 'own function';
};

const signingMethods: readonly string[] = ['signDigest', 'signDigests'];

/** How a module names a signing method: defines it, calls it, or takes it in any other way. */
function usesOfSigningMethod({ path, text }: { path: string; text: string }): Use[] {
  const uses: Use[] = [];
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);

  function visit(node: ts.Node): void {
    if (ts.isIdentifier(node) || ts.isStringLiteralLike(node) || ts.isPrivateIdentifier(node)) {
      const method = node.text.replace(/^#/, '');
      if (signingMethods.includes(method)) uses.push({ path, method, kind: kindOf(node) });
    }
    ts.forEachChild(node, visit);
  }
  visit(file);
  return uses;
}

function kindOf(name: ts.Node): Use['kind'] {
  const { parent } = name;
  const isMemberName =
    (ts.isMethodDeclaration(parent) ||
      ts.isMethodSignature(parent) ||
      ts.isPropertyAssignment(parent)) &&
    parent.name === name;
  if (isMemberName) return 'definition';
  if (ts.isFunctionDeclaration(parent) && parent.name === name) return 'own function';
  if (ts.isCallExpression(parent) && parent.expression === name) return 'own function';
  if (!ts.isPropertyAccessExpression(parent)) return 'reference';
  const user = parent.parent;
  if (ts.isCallExpression(user) && user.expression === parent) return 'call';
  // whether there is one: nothing is taken
  if (ts.isConditionalExpression(user) && user.condition === parent) return 'question';
  return 'reference';
}

/** The group of providers that stands behind the gate as one provider; its members are called by it alone. */
const failover = { provider: 'src/keys/failover.ts', member: 'src/keys/failover-member.ts' };
/** What other programs may import; it signs what they ask for, and so nothing of the signer may import it. */
const viemAccount = 'src/keys/viem-account.ts';
const callers = [failover.member, 'src/keys/gate.ts', viemAccount];

const isImplementation = (path: string) =>
  path === 'src/keys/provider.ts' || path === failover.provider || path.startsWith('plugins/');

/** Every use that is neither a call by those nor a provider's definition of the method. */
function strayUses(files: readonly { path: string; text: string }[]): Use[] {
  return files
    .flatMap(usesOfSigningMethod)
    .filter(({ path, kind }) =>
      callers.includes(path)
        ? kind === 'reference'
        : !(kind === 'definition' && isImplementation(path)),
    );
}

/** The modules that name another module, by import, re-export, import() or require(). */
function importersOf(pattern: RegExp, files: readonly { path: string; text: string }[]): string[] {
  return files
    .filter(({ path, text }) => {
      const { importedFiles } = ts.preProcessFile(text, true, true);
      return importedFiles.some(({ fileName }) =>
        pattern.test(fileName.startsWith('.') ? join(path, '..', fileName) : fileName),
      );
    })
    .map(({ path }) => path);
}

/** What plugin authors run against their own device; no part of the signer. */
const conformance = 'src/keys/conformance/';

describe('the source', () => {
  const all = sourceFiles();
  const files = all.filter(({ path }) => !path.startsWith(conformance));

  it('keeps the conformance suite, which calls providers too, out of what serves requests', () => {
    const importers = importersOf(/(^|\/)conformance\//, files);
    expect(importers.filter((path) => !path.startsWith('src/cli/'))).toEqual([]);
  });

  it('keeps the viem account, which has no policy, out of all of the signer', () => {
    expect(files.map(({ path }) => path)).toContain(viemAccount);
    expect(importersOf(/(^|\/)viem-account(\.[jt]s)?$/, all)).toEqual([]);
  });

  it('calls a provider’s signing methods once in the key gate, one in a failover group and in the viem account, and nowhere else', () => {
    const calls = files.flatMap(usesOfSigningMethod).filter(({ kind }) => kind === 'call');
    expect(calls.map(({ path, method }) => `${path} ${method}`).sort()).toEqual([
      `${failover.member} signDigest`,
      'src/keys/gate.ts signDigest',
      'src/keys/gate.ts signDigests',
      `${viemAccount} signDigest`,
    ]);
  });

  it('reaches the members of a failover group through that group alone, which the composition makes', () => {
    const memberImporters = importersOf(/(^|\/)failover-member(\.[jt]s)?$/, files);
    expect(memberImporters).toEqual([failover.provider]);
    const groupImporters = importersOf(/(^|\/)failover(\.[jt]s)?$/, files);
    expect(groupImporters.filter((path) => path !== 'src/compose/key.ts')).toEqual([]);
  });

  it('takes the signing method by reference, destructuring or text nowhere', () => {
    expect(strayUses(files)).toEqual([]);
  });

  it('defines the signing methods in the port, and once in each plugin and in the failover group', () => {
    const definitions = files
      .flatMap(usesOfSigningMethod)
      .filter(({ kind }) => kind === 'definition')
      .map(({ path, method }) => `${path.replace(/^(plugins\/[^/]+)\/.*$/, '$1')} ${method}`);
    expect(definitions.sort()).toEqual([
      'plugins/aws-kms signDigest',
      'plugins/gcp-kms signDigest',
      'plugins/local-keystore signDigest',
      'plugins/local-keystore signDigests',
      'plugins/pkcs11 signDigest',
      'src/keys/failover.ts signDigest',
      'src/keys/provider.ts signDigest',
      'src/keys/provider.ts signDigests',
    ]);
  });

  it('makes grant authorities in policy alone', () => {
    expect(importersOf(/(^|\/)grants(\.[jt]s)?$/, files)).toEqual([
      'src/policy/decide-byoc-job.ts',
      'src/policy/decide-payment.ts',
      'src/policy/policy.ts',
    ]);
    const makers = files
      .filter(({ text }) => text.includes('createGrantAuthority'))
      .map(({ path }) => path);
    expect(makers.sort()).toEqual(['src/policy/grants.ts', 'src/policy/policy.ts']);
  });

  it('opens the key gate in the composition root alone', () => {
    const openers = files
      .filter(({ path, text }) => path !== 'src/keys/gate.ts' && text.includes('openKeyGate'))
      .map(({ path }) => path);
    expect(openers).toEqual(['src/compose/key.ts']);
  });
});

describe('the check itself', () => {
  const path = 'src/payments/evil.ts';

  it.each([
    ['a call', 'await provider.signDigest(digest, { signal });'],
    ['an optional call', 'await provider?.signDigest?.(digest, { signal });'],
    ['a call through a cast', '(provider as KeyProvider).signDigest(digest, { signal });'],
    ['a computed call', "provider['signDigest'](digest, { signal });"],
    ['a call with a template', 'provider[`signDigest`](digest, { signal });'],
    ['a reference', 'const sign = provider.signDigest;'],
    ['a bound reference', 'const sign = provider.signDigest.bind(provider);'],
    ['destructuring', 'const { signDigest } = provider;'],
    ['destructuring under another name', 'const { signDigest: sign } = provider;'],
    ['destructuring in a parameter', 'function f({ signDigest }: KeyProvider) {}'],
    ['an assignment pattern', 'let sign; ({ signDigest: sign } = provider);'],
    ['reflection', "Reflect.get(provider, 'signDigest');"],
    ['a key in a type', "type Sign = KeyProvider['signDigest'];"],
    ['a call for a batch', 'await provider.signDigests?.(digests, { signal });'],
    ['a reference behind a question', 'const sign = provider.signDigests ?? none;'],
    ['a question outside of the gate', 'provider.signDigests ? 1 : 2;'],
  ])('finds %s', (_, text) => {
    expect(strayUses([{ path, text }])).not.toEqual([]);
  });

  it('lets a plugin define the method, and no more', () => {
    const plugin = (text: string) => strayUses([{ path: 'plugins/new/index.ts', text }]);
    expect(plugin('return { signDigest: (digest, options) => device.sign(digest) };')).toEqual([]);
    expect(plugin('class Provider { async signDigest(digest: Uint8Array) {} }')).toEqual([]);
    expect(plugin('provider.signDigest(digest);')).toHaveLength(1);
  });

  it.each([
    "import { createGrantAuthority } from '../policy/grants.ts';",
    "export * from '../policy/grants.ts';",
    "const { createGrantAuthority } = await import('../policy/grants.ts');",
  ])('finds who names the grants module: %s', (text) => {
    expect(importersOf(/(^|\/)grants(\.[jt]s)?$/, [{ path, text }])).toEqual([path]);
  });
});
