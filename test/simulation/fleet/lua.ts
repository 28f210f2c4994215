import { createRequire } from 'node:module';

/** It has no types of its own. */
const { parse } = createRequire(import.meta.url)('luaparse') as {
  /** Gives the tree of a script; throws SyntaxError. */
  readonly parse: (source: string, options: object) => unknown;
};

// The Lua of Redis' scripts, compiled to JavaScript: as much of Lua 5.1 as the scripts in src use, and an error for all else.
// Strings are one character a byte; numbers are doubles, as in Lua 5.1.

export type LuaValue = undefined | boolean | number | string | LuaTable | LuaFunction;
type LuaFunction = (...args: LuaValue[]) => LuaValue | LuaValue[];

export class LuaError extends Error {}

/** A table: values 1, 2, 3 … in an array, all others in a map. */
export class LuaTable {
  readonly list: LuaValue[];
  readonly fields = new Map<LuaValue, LuaValue>();

  constructor(list: LuaValue[] = []) {
    this.list = list;
  }

  get(key: LuaValue): LuaValue {
    if (typeof key === 'number' && key >= 1 && key <= this.list.length) return this.list[key - 1];
    return this.fields.get(key);
  }

  set(key: LuaValue, value: LuaValue): void {
    if (key === undefined || Number.isNaN(key)) throw new LuaError('table index is nil');
    if (typeof key === 'number' && key >= 1 && Number.isInteger(key)) {
      if (key <= this.list.length) {
        this.list[key - 1] = value;
        while (this.list.length > 0 && this.list.at(-1) === undefined) this.list.pop();
        return;
      }
      if (key === this.list.length + 1 && value !== undefined) {
        this.list.push(value);
        return;
      }
    }
    if (value === undefined) this.fields.delete(key);
    else this.fields.set(key, value);
  }
}

/** What a script is run with: `redis.call`, KEYS and ARGV. */
export type LuaScript = (
  call: (...args: LuaValue[]) => LuaValue,
  keys: readonly string[],
  args: readonly string[],
) => LuaValue;

type Node = { readonly type: string } & Readonly<Record<string, unknown>>;

const compiled = new Map<string, LuaScript>();

/** Throws Error for what is not of the subset. */
export function compileLua(source: string): LuaScript {
  const known = compiled.get(source);
  if (known) return known;
  const chunk = parse(source, {
    luaVersion: '5.1',
    encodingMode: 'x-user-defined',
  }) as Node;
  const body = block(chunk['body'] as Node[]);
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- what was compiled is to be run
  const make = new Function(
    'rt',
    `'use strict'; return function (redis, KEYS, ARGV) {\n${body}\n}`,
  );
  const run = (make as (rt: object) => LuaFunction)(runtime);
  const script: LuaScript = (call, keys, args) => {
    const redis = new LuaTable();
    redis.set('call', (...parts) => call(...parts));
    redis.set('error_reply', (message) => {
      const table = new LuaTable();
      table.set('err', message);
      return table;
    });
    return runtime.first(run(redis, new LuaTable([...keys]), new LuaTable([...args])));
  };
  compiled.set(source, script);
  return script;
}

const block = (body: readonly Node[]): string => body.map(statement).join('\n');
const nodes = (value: unknown): Node[] => value as Node[];
const node = (value: unknown): Node => value as Node;
const nameOf = (value: unknown): string => {
  const name = (value as { readonly name: string }).name;
  return globals.has(name) ? name : `_${name}`;
};
const globals = new Set(['redis', 'KEYS', 'ARGV']);
const library = new Set(['string', 'table', 'math', 'tonumber', 'tostring', 'ipairs', 'unpack']);

function statement(each: Node): string {
  switch (each.type) {
    case 'LocalStatement': {
      const names = nodes(each['variables']).map(nameOf);
      const values = nodes(each['init']);
      if (names.length === 1 && values.length === 1)
        return `let ${names[0]} = ${single(values[0])};`;
      if (values.length === 0) return `let ${names.join(', ')};`;
      return `let [${names.join(', ')}] = ${list(values)};`;
    }
    case 'AssignmentStatement': {
      const targets = nodes(each['variables']);
      const values = nodes(each['init']);
      if (targets.length === 1 && values.length === 1) return assign(targets[0], single(values[0]));
      const places = targets.map((target, place) => assign(target, `values[${place}]`));
      return `{ const values = ${list(values)}; ${places.join(' ')} }`;
    }
    case 'FunctionDeclaration': {
      if (each['isLocal'] !== true) throw unsupported(each);
      return `const ${nameOf(each['identifier'])} = ${functionOf(each)};`;
    }
    case 'CallStatement':
      return `${expression(node(each['expression']))};`;
    case 'ReturnStatement': {
      const values = nodes(each['arguments']);
      if (values.length === 0) return 'return undefined;';
      if (values.length === 1 && values[0]?.type !== 'CallExpression') {
        return `return ${single(values[0])};`;
      }
      return `return ${list(values)};`;
    }
    case 'IfStatement':
      return nodes(each['clauses'])
        .map((clause, place) => {
          const body = `{\n${block(nodes(clause['body']))}\n}`;
          if (clause.type === 'ElseClause') return `else ${body}`;
          return `${place > 0 ? 'else ' : ''}if (rt.isTrue(${single(clause['condition'])})) ${body}`;
        })
        .join(' ');
    case 'WhileStatement':
      return `while (rt.isTrue(${single(each['condition'])})) {\n${block(nodes(each['body']))}\n}`;
    case 'DoStatement':
      return `{\n${block(nodes(each['body']))}\n}`;
    case 'BreakStatement':
      return 'break;';
    case 'ForNumericStatement': {
      const name = nameOf(each['variable']);
      const step = each['step'] ? `rt.number(${single(each['step'])})` : '1';
      const [from, to] = [single(each['start']), single(each['end'])];
      return (
        `{ const by = ${step}, to = rt.number(${to}); for (let at = rt.number(${from}); by > 0 ? at <= to : at >= to; at += by) {` +
        `let ${name} = at;\n${block(nodes(each['body']))}\n} }`
      );
    }
    case 'ForGenericStatement': {
      const names = nodes(each['variables']).map(nameOf);
      const [iterated] = nodes(each['iterators']);
      return `for (let [${names.join(', ')}] of rt.iterate(${single(iterated)})) {\n${block(nodes(each['body']))}\n}`;
    }
    default:
      throw unsupported(each);
  }
}

function assign(target: unknown, value: string): string {
  const to = node(target);
  if (to.type === 'Identifier') return `${nameOf(to)} = ${value};`;
  const [table, key] = place(to);
  return `rt.setIndex(${table}, ${key}, ${value});`;
}

function place(each: Node): [table: string, key: string] {
  if (each.type === 'IndexExpression') return [single(each['base']), single(each['index'])];
  if (each.type !== 'MemberExpression' || each['indexer'] !== '.') throw unsupported(each);
  const { name } = each['identifier'] as { readonly name: string };
  return [single(each['base']), JSON.stringify(name)];
}

function functionOf(each: Node): string {
  const names = nodes(each['parameters']).map(nameOf);
  return `(${names.join(', ')}) => {\n${block(nodes(each['body']))}\n}`;
}

/** The values of a list of expressions, of which the last may have several. */
function list(values: readonly Node[]): string {
  const parts = values.map((value, place) => {
    const isLast = place === values.length - 1;
    return isLast && value.type === 'CallExpression'
      ? `...rt.all(${expression(value)})`
      : single(value);
  });
  return `[${parts.join(', ')}]`;
}

function single(value: unknown): string {
  const each = node(value);
  return each.type === 'CallExpression' ? `rt.first(${expression(each)})` : expression(each);
}

const arithmetic: Readonly<Record<string, string>> = { '+': '+', '-': '-', '*': '*', '/': '/' };
const orders: Readonly<Record<string, string>> = { '<': '<', '<=': '<=', '>': '>', '>=': '>=' };

function expression(each: Node): string {
  switch (each.type) {
    case 'NilLiteral':
      return 'undefined';
    case 'BooleanLiteral':
    case 'NumericLiteral':
      return String(each['value']);
    case 'StringLiteral':
      return JSON.stringify(each['value']);
    case 'Identifier': {
      const { name } = each as unknown as { readonly name: string };
      if (library.has(name)) return `rt.library.${name}`;
      return nameOf(each);
    }
    case 'FunctionDeclaration':
      return functionOf(each);
    case 'MemberExpression':
    case 'IndexExpression': {
      const [table, key] = place(each);
      return `rt.index(${table}, ${key})`;
    }
    case 'CallExpression':
      return `rt.callable(${single(each['base'])})(${list(nodes(each['arguments'])).slice(1, -1)})`;
    case 'LogicalExpression': {
      const [left, right] = [single(each['left']), single(each['right'])];
      return `rt.${each['operator'] === 'and' ? 'and' : 'or'}(${left}, () => ${right})`;
    }
    case 'UnaryExpression': {
      const value = single(each['argument']);
      if (each['operator'] === 'not') return `!rt.isTrue(${value})`;
      if (each['operator'] === '-') return `(-rt.number(${value}))`;
      if (each['operator'] === '#') return `rt.length(${value})`;
      throw unsupported(each);
    }
    case 'BinaryExpression': {
      const operator = String(each['operator']);
      const [left, right] = [single(each['left']), single(each['right'])];
      if (operator === '==') return `(${left} === ${right})`;
      if (operator === '~=') return `(${left} !== ${right})`;
      if (operator === '..') return `(rt.text(${left}) + rt.text(${right}))`;
      if (operator === '%') return `rt.modulo(${left}, ${right})`;
      const known = arithmetic[operator];
      if (known) return `(rt.number(${left}) ${known} rt.number(${right}))`;
      const order = orders[operator];
      if (order) return `rt.compare(${left}, ${right}, (a, b) => a ${order} b)`;
      throw unsupported(each);
    }
    case 'TableConstructorExpression': {
      const fields = nodes(each['fields']);
      if (!fields.every(({ type }) => type === 'TableValue')) throw unsupported(each);
      return `rt.table(${list(fields.map(({ value }) => node(value)))})`;
    }
    default:
      throw unsupported(each);
  }
}

function unsupported(each: Node): Error {
  return new Error(
    `the simulation knows no ${each.type} (${JSON.stringify(each['operator'])}) of Lua`,
  );
}

/** As `%.14g` has it, which is how Lua 5.1 writes numbers. */
export function formatNumber(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e14) return String(value);
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : value < 0 ? '-inf' : 'nan';
  const [digits = '', exponent = '0'] = value.toExponential(13).split('e');
  const power = Number(exponent);
  if (power < -4 || power >= 14) {
    const sign = power < 0 ? '-' : '+';
    const size = String(Math.abs(power)).padStart(2, '0');
    return `${digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits}e${sign}${size}`;
  }
  const fixed = value.toFixed(Math.max(0, 13 - power));
  return fixed.includes('.') ? fixed.replace(/\.?0+$/, '') : fixed;
}

function toNumber(value: LuaValue): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string' || !/^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i.test(value)) {
    return undefined;
  }
  return Number(value);
}

const patterns = new Map<string, RegExp>();

/** Patterns of the classes and repetitions that the scripts use. */
function toRegExp(pattern: string): RegExp {
  const known = patterns.get(pattern);
  if (known) return known;
  if (/%[^dsSaw]|[[\].-]/.test(pattern))
    throw new Error(`the simulation knows no pattern ${pattern}`);
  const made = new RegExp(
    pattern.replace(
      /%(.)/g,
      (_, letter: string) =>
        ({ d: '[0-9]', s: '[ \\t-\\r]', S: '[^ \\t-\\r]', a: '[A-Za-z]', w: '[A-Za-z0-9]' })[
          letter
        ] ?? '',
    ),
    'g',
  );
  patterns.set(pattern, made);
  return made;
}

const matchesOf = (text: LuaValue, pattern: LuaValue): IterableIterator<RegExpMatchArray> =>
  runtime.text(text).matchAll(toRegExp(runtime.text(pattern)));

const capturesOf = ([whole, ...captures]: readonly string[]): LuaValue[] =>
  captures.length > 0 ? captures : [whole];

const asFunctions = (functions: Readonly<Record<string, LuaFunction>>): LuaTable => {
  const table = new LuaTable();
  for (const [name, each] of Object.entries(functions)) table.set(name, each);
  return table;
};

/** What the iterators of a generic `for` are here: a JavaScript iterable of the values of each turn. */
const iterables = new WeakMap<object, Iterable<LuaValue[]>>();
function iterable(values: Iterable<LuaValue[]>): LuaFunction {
  const mark: LuaFunction = () => {
    throw new Error('the simulation knows iterators in a `for` only');
  };
  iterables.set(mark, values);
  return mark;
}

type Runtime = {
  isTrue(value: LuaValue): boolean;
  first(value: LuaValue | LuaValue[]): LuaValue;
  all(value: LuaValue | LuaValue[]): LuaValue[];
  and(left: LuaValue, right: () => LuaValue): LuaValue;
  or(left: LuaValue, right: () => LuaValue): LuaValue;
  number(value: LuaValue): number;
  modulo(left: LuaValue, right: LuaValue): number;
  text(value: LuaValue): string;
  compare(left: LuaValue, right: LuaValue, holds: (a: never, b: never) => boolean): boolean;
  length(value: LuaValue): number;
  index(table: LuaValue, key: LuaValue): LuaValue;
  setIndex(table: LuaValue, key: LuaValue, value: LuaValue): void;
  callable(value: LuaValue): LuaFunction;
  table(values: LuaValue[]): LuaTable;
  iterate(value: LuaValue): Iterable<LuaValue[]>;
  readonly library: Readonly<Record<string, LuaValue>>;
};

const runtime: Runtime = {
  isTrue: (value: LuaValue): boolean => value !== undefined && value !== false,
  first: (value: LuaValue | LuaValue[]): LuaValue => (Array.isArray(value) ? value[0] : value),
  all: (value: LuaValue | LuaValue[]): LuaValue[] => (Array.isArray(value) ? value : [value]),
  and: (left: LuaValue, right: () => LuaValue): LuaValue =>
    left !== undefined && left !== false ? right() : left,
  or: (left: LuaValue, right: () => LuaValue): LuaValue =>
    left !== undefined && left !== false ? left : right(),
  number(value: LuaValue): number {
    const number = toNumber(value);
    if (number === undefined) throw new LuaError('attempt to perform arithmetic on a non-number');
    return number;
  },
  modulo(left: LuaValue, right: LuaValue): number {
    const [a, b] = [runtime.number(left), runtime.number(right)];
    return a - Math.floor(a / b) * b;
  },
  text(value: LuaValue): string {
    if (typeof value === 'string') return value;
    if (typeof value === 'number') return formatNumber(value);
    throw new LuaError('attempt to concatenate what is no string');
  },
  compare(left: LuaValue, right: LuaValue, holds: (a: never, b: never) => boolean): boolean {
    const isOrdered = typeof left === 'number' || typeof left === 'string';
    if (!isOrdered || typeof left !== typeof right) throw new LuaError('attempt to compare');
    return holds(left as never, right as never);
  },
  length(value: LuaValue): number {
    if (typeof value === 'string') return value.length;
    if (value instanceof LuaTable) return value.list.length;
    throw new LuaError('attempt to get the length of what has none');
  },
  index(table: LuaValue, key: LuaValue): LuaValue {
    if (!(table instanceof LuaTable)) throw new LuaError('attempt to index what is no table');
    return table.get(key);
  },
  setIndex(table: LuaValue, key: LuaValue, value: LuaValue): void {
    if (!(table instanceof LuaTable)) throw new LuaError('attempt to index what is no table');
    table.set(key, value);
  },
  callable(value: LuaValue): LuaFunction {
    if (typeof value !== 'function') throw new LuaError('attempt to call what is no function');
    return value;
  },
  table(values: LuaValue[]): LuaTable {
    if (!values.includes(undefined)) return new LuaTable(values);
    const table = new LuaTable();
    for (const [place, value] of values.entries()) table.set(place + 1, value);
    return table;
  },
  iterate(value: LuaValue): Iterable<LuaValue[]> {
    const values = typeof value === 'function' ? iterables.get(value) : undefined;
    if (!values) throw new Error('the simulation knows no such iterator');
    return values;
  },
  library: {
    tonumber: (value: LuaValue): LuaValue => toNumber(value),
    tostring: (value: LuaValue): LuaValue => runtime.text(value),
    ipairs: (table: LuaValue): LuaValue => {
      if (!(table instanceof LuaTable)) throw new LuaError('bad argument to ipairs');
      function* walk(): Iterable<LuaValue[]> {
        for (let place = 1; ; place += 1) {
          const value = (table as LuaTable).get(place);
          if (value === undefined) return;
          yield [place, value];
        }
      }
      return iterable(walk());
    },
    unpack: (table: LuaValue): LuaValue[] => [...(table as LuaTable).list],
    string: asFunctions({
      format(pattern, value) {
        if (pattern !== '%.0f')
          throw new Error(`the simulation knows no format ${JSON.stringify(pattern)}`);
        return runtime.number(value).toFixed(0);
      },
      match(text, pattern) {
        for (const match of matchesOf(text, pattern)) return capturesOf(match);
        return undefined;
      },
      gmatch(text, pattern) {
        function* walk(): Iterable<LuaValue[]> {
          for (const match of matchesOf(text, pattern)) yield capturesOf(match);
        }
        return iterable(walk());
      },
    }),
    table: asFunctions({
      concat: (table, separator) =>
        (table as LuaTable).list
          .map((value) => runtime.text(value))
          .join(runtime.text(separator ?? '')),
    }),
    math: asFunctions({
      floor: (value) => Math.floor(runtime.number(value)),
      ceil: (value) => Math.ceil(runtime.number(value)),
      max: (...values) => Math.max(...values.map((value) => runtime.number(value))),
      min: (...values) => Math.min(...values.map((value) => runtime.number(value))),
    }),
  },
};
