import type { z } from 'zod';
import { ConfigError } from '../errors.ts';
import { checkShape } from './check-shape.ts';
import { listProblems } from './list-problems.ts';
import { parseYaml } from './yaml.ts';

/**
 * Reads YAML, or JSON, that docs/policy.md describes; `what` is what it should be. Throws `CONFIG_INVALID` with every problem
 * and its path.
 */
export function parsePolicyYaml<Value>(
  schema: z.ZodType<Value>,
  text: string,
  path: string,
  what: string,
): Value {
  const problems: string[] = [];
  const value = checkShape(schema, parseYaml(text, path), [], problems);
  if (value !== undefined) return value;
  throw new ConfigError(
    'CONFIG_INVALID',
    `${path} is not a valid ${what}:\n${listProblems(problems)}\n` +
      'docs/policy.md describes every field',
  );
}
