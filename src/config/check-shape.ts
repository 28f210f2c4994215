import { z } from 'zod';

/** The checked value; undefined, with a line for each problem added to `problems`, when it does not fit. */
export function checkShape<Value>(
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
      problems.push(
        ...issue.keys.map((key) => {
          const field = formatPath([...path, key]);
          return `${field}: ${successors[field] ?? issue.message}`;
        }),
      );
    } else {
      const isMissing = issue.input === undefined && issue.code !== 'custom';
      problems.push(`${formatPath(path)}: ${isMissing ? 'missing; ' : ''}${issue.message}`);
    }
  }
  return undefined;
}

/** What became of fields that configurations had. */
const successors: Readonly<Record<string, string>> = {
  metrics:
    'there is no such field any more: /metrics is served at admin.listen, 127.0.0.1:7937 unless told',
};

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
  return path.length === 0 ? 'the document' : path.map(formatSegment).join('.');
}

/** Words, with two digits at most. */
const plainName = /^(?!(?:.*\d){3})[A-Za-z][A-Za-z0-9_-]{0,39}$/;

/** Names come from the document too: what looks like no name may be a secret that was pasted into the wrong place. */
function formatSegment(segment: PropertyKey): string {
  if (typeof segment === 'number') return String(segment);
  return plainName.test(String(segment)) ? String(segment) : '(a name that is not shown)';
}
