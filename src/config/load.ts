import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { ConfigError, isSignerError } from '../errors.ts';
import type { KeyProviderPlugin } from '../keys/provider.ts';
import { loadProviderPlugin } from '../keys/registry.ts';
import { applyOverrides } from './overrides.ts';
import { type Settings, configSchema } from './schema.ts';
import { parseYaml } from './yaml.ts';

/** A checked configuration, with each key's plugin and its own checked section. */
export type Config = {
  readonly settings: Settings;
  /** At least one that is not retiring; of those, the preferred one first. */
  readonly keys: readonly [KeyConfig, ...KeyConfig[]];
  /** Relative paths of the configuration start at its file's folder. */
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

/**
 * Reads a YAML configuration, lays environment overrides over it and checks it as a whole, the key provider's section
 * included. Throws `CONFIG_INVALID` with every problem and its path.
 */
export async function loadConfig(
  file: string,
  environment: Readonly<NodeJS.ProcessEnv> = process.env,
): Promise<Config> {
  const path = resolve(file);
  const folder = dirname(path);
  const resolvePath = (relative: string): string => resolve(folder, relative);
  const { document, names } = applyOverrides(readConfigFile(path), environment);
  const problems: string[] = [];
  const settings = check(configSchema, document, [], problems);
  const [first, ...others] = await checkKeys(document, resolvePath, problems);
  if (!settings || !first || problems.length > 0) {
    const overridden = names.length > 0 ? ` (overridden by ${names.join(', ')})` : '';
    throw new ConfigError(
      'CONFIG_INVALID',
      `${path}${overridden} is not a valid configuration:\n${problems.map((line) => `  ${line}`).join('\n')}\n` +
        'docs/configuration.md describes every field',
    );
  }
  return { settings, keys: [first, ...others], resolvePath };
}

const reasonOfCode: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  EISDIR: 'it is a folder',
  EACCES: 'this user may not read it',
};

function readConfigFile(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const { code = 'unknown' } = cause as NodeJS.ErrnoException;
    throw new ConfigError(
      'CONFIG_INVALID',
      `configuration file ${path} can't be read: ${reasonOfCode[code] ?? code}`,
      { cause },
    );
  }
  return parseYaml(text, path);
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
  const checked = check(plugin.configSchema, section, ['keys', index], problems);
  if (!checked) return undefined;
  return {
    name: `keys.${index}:${plugin.name}`,
    plugin,
    section: checked,
    generateIfMissing: generateIfMissing === true,
    isRetiring: retiring === true,
  };
}

/** The checked value; undefined, with a line for each problem, when it does not fit. */
function check<Value>(
  schema: z.ZodType<Value>,
  value: unknown,
  prefix: readonly PropertyKey[],
  problems: string[],
): Value | undefined {
  const parsed = schema.safeParse(value, { error: describeIssue, reportInput: true });
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) {
    const path = [...prefix, ...issue.path];
    if (issue.code === 'unrecognized_keys') {
      problems.push(...issue.keys.map((key) => `${formatPath([...path, key])}: ${issue.message}`));
    } else {
      const isMissing = issue.input === undefined && issue.code !== 'custom';
      problems.push(`${formatPath(path)}: ${isMissing ? 'missing; ' : ''}${issue.message}`);
    }
  }
  return undefined;
}

const wordOfType: Readonly<Record<string, string>> = {
  object: 'fields',
  record: 'fields',
  array: 'a list',
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

/** undefined where zod's own words say enough. */
function describeIssue(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'unrecognized_keys') {
    const known = issue.inst instanceof z.ZodObject ? Object.keys(issue.inst.shape) : [];
    return `unknown field; there are ${known.join(', ')}`;
  }
  return issue.code === 'invalid_type'
    ? `expected ${wordOfType[issue.expected] ?? issue.expected}`
    : undefined;
}

function formatPath(path: readonly PropertyKey[]): string {
  return path.length === 0 ? 'the document' : path.map(String).join('.');
}
