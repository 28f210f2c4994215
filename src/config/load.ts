import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { ConfigError, isSignerError } from '../errors.ts';
import type { KeyProviderPlugin } from '../keys/provider.ts';
import { loadProviderPlugin } from '../../plugins/registry.ts';
import { checkShape, parseKnownFields } from './check-shape.ts';
import { listProblems } from './list-problems.ts';
import { applyOverrides, overridePrefix } from './overrides.ts';
import { readTextFile } from './read-text-file.ts';
import { type Settings, configSchema } from './schema.ts';
import { parseYaml } from './yaml.ts';

/** A checked configuration, with each key's plugin and its own checked section. */
export type Config = {
  readonly settings: Settings;
  /** The keys: at least one that is not retiring; of those, the preferred one first. */
  readonly keys: readonly [KeyConfig, ...KeyConfig[]];
  /** Makes a path of the configuration absolute: relative paths start at its file's folder. */
  readonly resolvePath: (path: string) => string;
};

export type KeyConfig = {
  /** `keys.0:pkcs11` */
  readonly name: string;
  readonly plugin: KeyProviderPlugin;
  readonly section: unknown;
  readonly generateIfMissing: boolean;
  readonly isRetiring: boolean;
};

/** The valid parts of a configuration, and all that is wrong with it. */
export type ConfigDraft = {
  /** the sections that are valid in themselves, apart from unknown fields */
  readonly sections: Partial<Settings>;
  readonly keys: readonly KeyConfig[];
  readonly resolvePath: Config['resolvePath'];
  /** each begins with the path of its field */
  readonly problems: readonly string[];
  /** undefined where there is a problem */
  readonly config: Config | undefined;
  /** Throws `CONFIG_INVALID` with these problems. */
  readonly refuse: (problems: readonly string[]) => never;
};

/**
 * Reads a YAML configuration, applies the overrides of the environment and checks all of it, the key providers' sections
 * included. `listen`, the value of `--listen`, overrides both. Throws `CONFIG_INVALID` with every problem and its path.
 */
export async function loadConfig(
  file: string,
  environment: Readonly<NodeJS.ProcessEnv> = process.env,
  listen?: string,
): Promise<Config> {
  const { config, problems, refuse } = await readConfig(file, environment, listen);
  return config ?? refuse(problems);
}

/** Hints for fields that earlier configurations had, by path. */
const successors: ReadonlyMap<string, string> = new Map([
  [
    'metrics',
    'there is no such field any more: /metrics is served at admin.listen, 127.0.0.1:7937 unless told',
  ],
]);

const listenVariable = `${overridePrefix}SERVER__LISTEN`;

/**
 * Like {@link loadConfig}, for callers that look for more problems. Throws `CONFIG_INVALID` when the file can't be read, or is
 * not YAML.
 */
export async function readConfig(
  file: string,
  environment: Readonly<NodeJS.ProcessEnv> = process.env,
  listen?: string,
): Promise<ConfigDraft> {
  const path = resolve(file);
  const folder = dirname(path);
  const resolvePath = (relative: string): string => resolve(folder, relative);
  const { document, names } = applyOverrides(
    parseYaml(readTextFile(path, 'configuration file'), path),
    listen === undefined
      ? environment
      : { ...environment, [listenVariable]: JSON.stringify(listen) },
  );
  const problems: string[] = [];
  const settings = checkShape(configSchema, document, [], problems, successors);
  const keys = await checkKeys(document, resolvePath, problems);
  const [first, ...others] = keys;
  const isValid = settings && first && problems.length === 0;
  return {
    sections: settings ?? readSections(document),
    keys,
    resolvePath,
    problems,
    config: isValid ? { settings, keys: [first, ...others], resolvePath } : undefined,
    refuse(found) {
      const givenAs = names.map((name) =>
        name === listenVariable && listen !== undefined ? '--listen' : name,
      );
      const overridden = names.length > 0 ? ` (overridden by ${givenAs.join(', ')})` : '';
      throw new ConfigError(
        'CONFIG_INVALID',
        `${path}${overridden} is not a valid configuration:\n${listProblems(found)}\n` +
          'docs/configuration.md describes every field',
      );
    },
  };
}

function readSections(document: unknown): Partial<Settings> {
  const given = z.record(z.string(), z.unknown()).safeParse(document).data ?? {};
  return Object.fromEntries(
    Object.entries(configSchema.shape).flatMap(([name, schema]) => {
      const section = parseKnownFields<unknown>(schema, given[name]);
      return section === undefined ? [] : [[name, section]];
    }),
  );
}

const keySectionSchema = z.looseObject({
  provider: z.string(),
  generateIfMissing: z.unknown().optional(),
  retiring: z.unknown().optional(),
});

async function checkKeys(
  document: unknown,
  resolvePath: Config['resolvePath'],
  problems: string[],
): Promise<KeyConfig[]> {
  const { keys = [] } = z.object({ keys: z.array(z.unknown()) }).safeParse(document).data ?? {};
  const checked: KeyConfig[] = [];
  for (const [index, key] of keys.entries()) {
    const section = keySectionSchema.safeParse(key).data;
    const config = section && (await checkKey(section, index, resolvePath, problems));
    if (config) checked.push(config);
  }
  return checked;
}

async function checkKey(
  { provider, generateIfMissing, retiring, ...section }: z.infer<typeof keySectionSchema>,
  index: number,
  resolvePath: Config['resolvePath'],
  problems: string[],
): Promise<KeyConfig | undefined> {
  let plugin: KeyProviderPlugin;
  try {
    plugin = await loadProviderPlugin(provider, { resolvePath });
  } catch (error) {
    if (!isSignerError(error)) throw error;
    problems.push(`keys.${index}.provider: ${error.message}`);
    return undefined;
  }
  const checked =
    checkShape(plugin.configSchema, section, ['keys', index], problems) ??
    parseKnownFields(plugin.configSchema, section);
  if (checked === undefined) return undefined;
  return {
    name: `keys.${index}:${plugin.name}`,
    plugin,
    section: checked,
    generateIfMissing: generateIfMissing === true,
    isRetiring: retiring === true,
  };
}
