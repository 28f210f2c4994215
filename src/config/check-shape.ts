import { z } from 'zod';
import { describeUnknownFields } from './unknown-field.ts';

/**
 * The checked value; undefined, with a line for each problem added to `problems`, when it does not fit. `successors` says, by
 * path, what became of fields that there were.
 */
export function checkShape<Value>(
  schema: z.ZodType<Value>,
  value: unknown,
  prefix: readonly PropertyKey[],
  problems: string[],
  successors?: ReadonlyMap<string, string>,
): Value | undefined {
  const parsed = schema.safeParse(value, { error: describeIssue, reportInput: true });
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) {
    const path = [...prefix, ...issue.path];
    if (issue.code === 'unrecognized_keys') {
      const described = describeUnknownFields(schema, issue.path, issue.input, issue.keys);
      for (const [key, description] of described) {
        const field = formatPath([...path, key]);
        problems.push(`${field}: ${successors?.get(field) ?? description}`);
      }
    } else {
      const isMissing = issue.input === undefined && issue.code !== 'custom';
      problems.push(`${formatPath(path)}: ${isMissing ? 'missing; ' : ''}${issue.message}`);
    }
  }
  return undefined;
}

/** The checked value as if fields that nobody knows were not there; undefined where more is wrong. */
export function parseKnownFields<Value>(
  schema: z.ZodType<Value>,
  value: unknown,
): Value | undefined {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const known = structuredClone(value);
  for (const issue of parsed.error.issues) {
    if (issue.code !== 'unrecognized_keys') return undefined;
    const parent = issue.path.reduce((node, segment) => node[segment] as Fields, known as Fields);
    for (const key of issue.keys) Reflect.deleteProperty(parent, key);
  }
  return schema.safeParse(known).data;
}

type Fields = Record<PropertyKey, unknown>;

const wordOfType: Readonly<Record<string, string>> = {
  object: 'fields',
  record: 'fields',
  array: 'a list',
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

/** What the field that tells the members of a union apart may say. */
type Choices = { readonly options?: readonly z.core.util.Primitive[] };

/** undefined where zod's own words say enough. */
function describeIssue(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${wordOfType[issue.expected] ?? issue.expected}${hintAtQuotes(issue)}${nameSome(issue.inst)}`;
    case 'invalid_value':
      return `expected ${listChoices(issue.values)}`;
    case 'invalid_union': {
      const { discriminator, options, input } = issue as z.core.$ZodIssueInvalidUnion & Choices;
      if (discriminator === undefined || !options) return undefined;
      const isMissing = !Object.hasOwn(input as object, discriminator);
      return `${isMissing ? 'missing; ' : ''}expected ${listChoices(options)}`;
    }
    case 'too_small':
      return `expected ${issue.inclusive ? 'at least' : 'more than'} ${measure(issue.minimum, issue.origin)}`;
    case 'too_big':
      return `expected ${issue.inclusive ? 'at most' : 'less than'} ${measure(issue.maximum, issue.origin)}`;
    case 'unrecognized_keys':
    case 'custom':
    case 'invalid_element':
    case 'invalid_format':
    case 'invalid_key':
    case 'not_multiple_of':
      return undefined;
  }
}

/** YAML takes `01` for a number, and "5" for text. */
function hintAtQuotes({
  expected,
  input,
}: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidType>): string {
  const isWritten = typeof input === 'number' || typeof input === 'boolean';
  if (expected === 'string' && isWritten) return ': write it in quotes';
  const isNumber = typeof input === 'string' && /^\d+$/.test(input);
  return isNumber && (expected === 'number' || expected === 'int')
    ? ': write it without quotes'
    : '';
}

const mostNamed = 2;

/** Some fields of an object, those first that must be there, for whoever wrote something else in its place. */
function nameSome(schema: unknown): string {
  if (schema instanceof z.ZodDiscriminatedUnion) return `, such as ${schema.def.discriminator}`;
  if (!(schema instanceof z.ZodObject)) return '';
  const fields = Object.entries<z.core.$ZodType>(schema.shape);
  const isOptional = (field: z.core.$ZodType): boolean => field._zod.optin !== undefined;
  const names = fields
    .toSorted(([, a], [, b]) => Number(isOptional(a)) - Number(isOptional(b)))
    .slice(0, mostNamed)
    .map(([name]) => name);
  return names.length === 0 ? '' : `, such as ${names.join(' and ')}`;
}

function listChoices(values: readonly z.core.util.Primitive[]): string {
  const choices = values.map((value) => JSON.stringify(value));
  const last = choices.pop() ?? '';
  return choices.length === 0 ? last : `${choices.join(', ')} or ${last}`;
}

/** `5`, `1 character`, `2 items` */
function measure(bound: number | bigint, origin: string): string {
  const unit = { string: 'character', array: 'item' }[origin];
  return `${bound}${unit === undefined ? '' : ` ${unit}${Number(bound) === 1 ? '' : 's'}`}`;
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
