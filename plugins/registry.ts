import { existsSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { extname, isAbsolute, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { type KeyProviderPlugin, portVersion, ProviderError } from '../src/keys/provider.ts';

/** Every key provider that comes with the product. A module is loaded only when the configuration names it. */
const bundled: Readonly<Record<string, () => Promise<unknown>>> = {
  'local-keystore': () => import('./local-keystore/index.ts'),
  pkcs11: () => import('./pkcs11/index.ts'),
  'aws-kms': () => import('./aws-kms/index.ts'),
  'gcp-kms': () => import('./gcp-kms/index.ts'),
};

/** The names that `provider:` takes, beside paths and packages of other people's plugins. */
export const bundledProviders: readonly string[] = Object.keys(bundled);

type LoadOptions = {
  /** Turns a path into an absolute one: from the configuration file's folder, or the working directory by default. */
  readonly resolvePath: (path: string) => string;
};

/**
 * Loads a key provider's plugin: a bundled one by its name, another one by the path of its module (absolute, or with `./`
 * or `../` from the configuration file's folder) or by the name of its npm package, which is looked for from the
 * configuration file's folder first and from this program second. Throws `PROVIDER_MISSING`, saying what to do, when there
 * is none, when it can't be loaded, and when what it exports is not a plugin for this version of the port.
 */
export async function loadProviderPlugin(
  name: string,
  { resolvePath }: LoadOptions = { resolvePath: resolve },
): Promise<KeyProviderPlugin> {
  const load = Object.hasOwn(bundled, name) ? bundled[name] : undefined;
  if (load) return readPlugin(await load(), `key provider ${name}`);
  if (!isPath(name) && !packageName.test(name)) {
    throw missing(
      `this is no name of a key provider: it is neither one of ${bundledProviders.join(', ')} nor one that an npm package may have`,
    );
  }
  const url = isPath(name)
    ? locateFile(name, resolvePath(name))
    : locatePackage(name, resolvePath('.'));
  const subject = `key provider ${name}`;
  return readPlugin(await importModule(url, subject), subject);
}

/** What has many digits, or other characters, may be a secret that was pasted into the wrong place: it is not repeated. */
const packageName = /^(?!(?:.*\d){4})(?:@[\w.-]+\/)?[a-z][\w./-]*$/i;

function isPath(name: string): boolean {
  return isAbsolute(name) || /^\.\.?\//.test(name);
}

function locateFile(name: string, path: string): string {
  if (existsSync(path)) return pathToFileURL(path).href;
  throw missing(
    `key provider ${name}: there is no file ${path}; correct the path, which starts at the configuration file's folder`,
  );
}

function locatePackage(name: string, configFolder: string): string {
  const url =
    resolveFrom(name, pathToFileURL(join(configFolder, 'package.json')).href) ??
    resolveFrom(name, import.meta.url);
  if (url !== undefined) return url;
  throw missing(
    `there is no key provider ${name}: it is neither one of ${bundledProviders.join(', ')} nor an npm package that is ` +
      'installed; correct it, install the package beside the configuration file, or write a path that starts with ./',
  );
}

/** What `import(name)` would load in the module `parentUrl`; undefined when there is nothing. */
function resolveFrom(name: string, parentUrl: string): string | undefined {
  const hooks = registerHooks({
    resolve: (specifier, context, next) => next(specifier, { ...context, parentURL: parentUrl }),
  });
  try {
    const url = import.meta.resolve(name);
    return url.startsWith('file:') ? url : undefined;
  } catch (error) {
    if (isModuleNotFound(error)) return undefined;
    throw missing(`key provider ${name} can't be loaded: ${reasonOf(error)}`, error);
  } finally {
    hooks.deregister();
  }
}

async function importModule(url: string, subject: string): Promise<unknown> {
  offerPort();
  try {
    return (await import(url)) as unknown;
  } catch (error) {
    throw missing(
      `${subject} can't be loaded: ${reasonOf(error)}; correct the plugin, or install what it imports`,
      error,
    );
  }
}

/** What plugins import from this program, wherever they lie. */
const offered: Readonly<Record<string, string>> = {
  'livepeer-hsm-signer/provider': here('provider'),
  'livepeer-hsm-signer/conformance': here('conformance/cases'),
};

function here(module: string): string {
  return new URL(`../src/keys/${module}${extname(import.meta.url)}`, import.meta.url).href;
}

let isPortOffered = false;

/**
 * Gives plugins this program's own port, for a `ProviderError` is known by its class, and a second copy of the package
 * would have another one; and zod, where they bring none themselves.
 */
function offerPort(): void {
  if (isPortOffered) return;
  isPortOffered = true;
  registerHooks({
    resolve(specifier, context, next) {
      const own = Object.hasOwn(offered, specifier) ? offered[specifier] : undefined;
      if (own !== undefined) return next(own, context);
      if (specifier !== 'zod') return next(specifier, context);
      try {
        return next(specifier, context);
      } catch (error) {
        if (!isModuleNotFound(error)) throw error;
        return next(specifier, { ...context, parentURL: import.meta.url });
      }
    },
  });
}

const isFunction = (value: unknown): boolean => typeof value === 'function';
const moduleShape = z.object({ plugin: z.looseObject({}) });
const pluginShape = z.object({
  portVersion: z.literal(portVersion),
  name: z.string('expected text').min(1, 'expected text'),
  configSchema: z.custom(
    (schema) => isFunction((schema as { safeParse?: unknown } | undefined)?.safeParse),
    'expected a zod schema',
  ),
  open: z.custom(isFunction, 'expected a function'),
  check: z.custom(isFunction, 'expected a function').optional(),
  generateKey: z.custom(isFunction, 'expected a function').optional(),
  importKey: z.custom(isFunction, 'expected a function').optional(),
});

function readPlugin(module: unknown, subject: string): KeyProviderPlugin {
  const { plugin } = moduleShape.safeParse(module).data ?? {};
  if (!plugin) {
    throw missing(
      `${subject} does not export a "plugin"; a plugin's module has to, as docs/plugins.md describes`,
    );
  }
  const { portVersion: version } = plugin;
  if (typeof version === 'number' && version !== portVersion) {
    throw missing(
      `${subject} is written for version ${version} of the provider port, and this program has version ${portVersion}; ` +
        'install a release of the plugin, or of this program, so that the two are the same',
    );
  }
  const shape = pluginShape.safeParse(plugin);
  if (shape.success) return plugin as unknown as KeyProviderPlugin;
  const problems = shape.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw missing(
    `${subject} exports a "plugin" that is none: ${problems.join('; ')}; docs/plugins.md describes what it must have`,
  );
}

function missing(message: string, cause?: unknown): ProviderError {
  return new ProviderError('PROVIDER_MISSING', message, cause === undefined ? {} : { cause });
}

function isModuleNotFound(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND';
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
