import { ConfigError } from '../errors.ts';
import { parseYaml } from './yaml.ts';

/** The prefix of environment variables that override the file: `LIVEPEER_HSM_SIGNER__SERVER__LISTEN=127.0.0.1:8000`. */
export const overridePrefix = 'LIVEPEER_HSM_SIGNER__';

type Overridden = {
  readonly document: unknown;
  /** the variables that were used */
  readonly names: readonly string[];
};

/**
 * Applies environment variables to a document: `KEYS__0__MAX_SESSIONS` sets `keys[0].maxSessions`; values are read as YAML.
 * Throws `CONFIG_INVALID` for a value that is not YAML, and for a list item that would leave a gap.
 */
export function applyOverrides(
  document: unknown,
  environment: Readonly<NodeJS.ProcessEnv>,
): Overridden {
  const root: Container = { document: structuredClone(document) ?? {} };
  const names: string[] = [];
  for (const [name, text] of Object.entries(environment).sort(byName)) {
    if (!name.startsWith(overridePrefix) || text === undefined) continue;
    const path = name.slice(overridePrefix.length).split('__').map(toCamelCase);
    setAt(root, ['document', ...path], parseYaml(text, `environment variable ${name}`), name);
    names.push(name);
  }
  return { document: root['document'], names };
}

type Container = Record<string, unknown>;

function setAt(root: Container, path: readonly string[], value: unknown, name: string): void {
  let node = root;
  for (const [index, segment] of path.entries()) {
    if (Array.isArray(node) && !isItemOrNext(node, segment)) {
      throw new ConfigError(
        'CONFIG_INVALID',
        `environment variable ${name}: "${segment}" is neither one of the list's ${node.length} items, counted ` +
          'from 0, nor the next one',
      );
    }
    const next = path[index + 1];
    if (next === undefined) {
      node[segment] = value;
      return;
    }
    const child = node[segment];
    if (isContainer(child)) node = child;
    else node = node[segment] = (/^\d+$/.test(next) ? [] : {}) as Container;
  }
}

function isContainer(value: unknown): value is Container {
  return typeof value === 'object' && value !== null;
}

function isItemOrNext(list: readonly unknown[], segment: string): boolean {
  return /^\d{1,4}$/.test(segment) && Number(segment) <= list.length;
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

function toCamelCase(segment: string): string {
  return segment.toLowerCase().replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
