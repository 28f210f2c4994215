import { z } from 'zod';
import { closestName } from '../closest-name.ts';

/** A list of more names than this is no help in a message. */
const mostListed = 8;
const mostPlaces = 3;

type Part = z.core.$ZodType;

/**
 * Hints for unknown fields at this place of the schema, by field: the name that was probably meant, or where the field belongs,
 * or, once and only where they are few, the names that exist.
 */
export function describeUnknownFields(
  schema: Part,
  path: readonly PropertyKey[],
  input: unknown,
  fields: readonly string[],
): ReadonlyMap<string, string> {
  const objects = objectsAt(schema, path);
  const own = objects.filter((object) => fits(object, input));
  const others = objects.filter((object) => !own.includes(object));
  const known = [...new Set(own.flatMap(namesOf))];
  let isListed = false;
  const describe = (field: string): string => {
    const foreign = others.find((object) => namesOf(object).includes(field));
    if (foreign) return `unknown field; ${field} belongs to ${discriminate(foreign, own)}`;
    const meant = closestName(field, known);
    if (meant !== undefined) return `unknown field; did you mean ${meant}?`;
    for (const other of others) {
      const name = closestName(field, namesOf(other));
      if (name !== undefined)
        return `unknown field; ${name} belongs to ${discriminate(other, own)}`;
    }
    const places = placesOf(schema, field, path);
    if (places.length > 0 && places.length <= mostPlaces) {
      return `unknown field here; did you mean ${places.join(' or ')}?`;
    }
    if (isListed || known.length === 0 || known.length > mostListed) return 'unknown field';
    isListed = true;
    return `unknown field; there are ${known.join(', ')}`;
  };
  return new Map(fields.map((field) => [field, describe(field)]));
}

const namesOf = (object: z.core.$ZodObject): string[] => Object.keys(object._zod.def.shape);

/** The objects that the schema allows at a path: several where a field decides which. */
function objectsAt(schema: Part, path: readonly PropertyKey[]): z.core.$ZodObject[] {
  let parts = alternatives(schema);
  for (const segment of path) parts = parts.flatMap((part) => childAt(part, segment));
  return parts.filter((part) => part instanceof z.core.$ZodObject);
}

/** Resolves defaults, transformations and unions to the alternatives behind them. */
function alternatives(part: Part): Part[] {
  const { def } = part._zod;
  if (part instanceof z.core.$ZodUnion) return part._zod.def.options.flatMap(alternatives);
  if (part instanceof z.core.$ZodPipe) return alternatives(part._zod.def.in);
  return 'innerType' in def ? alternatives(def.innerType as Part) : [part];
}

function childAt(part: Part, segment: PropertyKey): Part[] {
  if (part instanceof z.core.$ZodObject) {
    const child = part._zod.def.shape[String(segment)];
    return child ? alternatives(child) : [];
  }
  if (part instanceof z.core.$ZodArray) return alternatives(part._zod.def.element);
  return part instanceof z.core.$ZodRecord ? alternatives(part._zod.def.valueType) : [];
}

/** Whether the input is meant to be this object: the field that tells it from other objects has the right value. */
function fits(object: z.core.$ZodObject, input: unknown): boolean {
  return literalsOf(object).every(
    ([name, literal]) => (input as Record<string, unknown>)[name] === literal,
  );
}

function literalsOf(object: z.core.$ZodObject): [name: string, literal: unknown][] {
  return Object.entries(object._zod.def.shape).flatMap(([name, part]) =>
    part instanceof z.core.$ZodLiteral ? [[name, part._zod.def.values[0]]] : [],
  );
}

/** `source: on-chain, and source is static here` */
function discriminate(other: z.core.$ZodObject, own: readonly z.core.$ZodObject[]): string {
  const here = new Map(own.flatMap(literalsOf));
  return literalsOf(other)
    .map(
      ([name, literal]) =>
        `${name}: ${String(literal)}, and ${name} is ${String(here.get(name))} here`,
    )
    .join('; ');
}

/** The paths at which a field of this name is known, apart from those in lists. */
function placesOf(
  part: Part,
  field: string,
  except: readonly PropertyKey[],
  path: readonly string[] = [],
): string[] {
  return alternatives(part).flatMap((each) => {
    if (!(each instanceof z.core.$ZodObject)) return [];
    return Object.entries(each._zod.def.shape).flatMap(([name, child]) => {
      const inner = [...path, name];
      const isIt = name === field && path.join('.') !== except.join('.');
      return [...(isIt ? [inner.join('.')] : []), ...placesOf(child, field, except, inner)];
    });
  });
}
