import type { Random } from '../../support/random.ts';

/** How inputs are built, so that what is changed stays readable in part. */
export type Format = 'bytes' | 'text' | 'json' | 'yaml' | 'protobuf' | 'der';

export type Changes = {
  readonly format: Format;
  readonly words: readonly string[];
  /** another input, to take a part of */
  readonly other: () => Uint8Array;
  readonly maxLength: number;
};

/** A neighbour of the input: a few changes, in its structure or of its bytes. */
export function mutate(random: Random, input: Uint8Array, changes: Changes): Uint8Array {
  let bytes: Buffer = Buffer.from(input);
  for (let times = 1 + random.int(4); times > 0; times--) {
    const byStructure = random.chance(0.5)
      ? structured[changes.format](random, bytes, changes)
      : undefined;
    bytes = byStructure ?? changeBytes(random, bytes, changes);
    if (bytes.length > changes.maxLength) bytes = bytes.subarray(0, changes.maxLength);
  }
  return Uint8Array.from(bytes);
}

type Structured = (random: Random, input: Buffer, changes: Changes) => Buffer | undefined;

const structured: Readonly<Record<Format, Structured>> = {
  bytes: () => undefined,
  text: () => undefined,
  json: changeJson,
  yaml: changeLines,
  protobuf: changeProtobuf,
  der: changeDer,
};

const interesting = [
  0, 1, 2, 3, 4, 5, 0x0a, 0x20, 0x22, 0x30, 0x5c, 0x7f, 0x80, 0x81, 0x84, 0xc0, 0xed, 0xff,
];

const numbers = [
  ...[
    '0',
    '-0',
    '1',
    '-1',
    '200',
    '255',
    '256',
    '400',
    '2147483648',
    '4294967296',
    '9007199254740993',
  ],
  ...['9223372036854775807', '9223372036854775808', '-9223372036854775808', '18446744073709551615'],
  ...['1e3', '1e400', '1E-7', '0.1', '-1.5', '00', '1.', '0x1f', '1_000', `1${'0'.repeat(80)}`],
];

function changeBytes(random: Random, bytes: Buffer, { words, other, maxLength }: Changes): Buffer {
  const at = random.int(bytes.length + 1);
  const length = 1 + random.int(random.pick([2, 8, 32, 200]));
  const before = bytes.subarray(0, at);
  const after = bytes.subarray(at);
  switch (random.int(14)) {
    case 0: {
      const flipped = Buffer.from(bytes);
      if (at < bytes.length) flipped[at] = (bytes[at] ?? 0) ^ (1 << random.int(8));
      return flipped;
    }
    case 1: {
      const changed = Buffer.from(bytes);
      if (at < bytes.length) changed[at] = interesting[random.int(interesting.length)] ?? 0;
      return changed;
    }
    case 2:
      return Buffer.concat([before, after.subarray(length)]);
    case 3:
      return Buffer.concat([before, random.bytes(Math.min(length, 12)), after]);
    case 4:
    case 5: {
      const word = Buffer.from(words[random.int(words.length)] ?? '');
      return Buffer.concat([
        before,
        word,
        random.chance(0.5) ? after : after.subarray(word.length),
      ]);
    }
    case 6:
      return Buffer.concat([before, after.subarray(0, length), after]);
    case 7: {
      const taken = other();
      const start = random.int(taken.length + 1);
      return Buffer.concat([
        before,
        taken.subarray(start, start + length),
        after.subarray(random.int(length + 1)),
      ]);
    }
    case 8: {
      const taken = other();
      return Buffer.concat([before, taken.subarray(random.int(taken.length + 1))]);
    }
    case 9:
      return Buffer.from(before);
    case 10: {
      const text = bytes.toString('latin1');
      const found = [...text.matchAll(/-?\d[\d.eE]*/g)];
      const number = found[random.int(found.length)];
      if (!number) return Buffer.concat([before, Buffer.of(0), after]);
      const end = number.index + number[0].length;
      const put = random.chance(0.7)
        ? (numbers[random.int(numbers.length)] ?? '0')
        : String(random.int(300));
      return Buffer.from(text.slice(0, number.index) + put + text.slice(end), 'latin1');
    }
    case 11: {
      // a part many times over, where work that grows with the square of the length would show
      const part = after.subarray(0, length);
      const wanted = random.chance(0.02) ? maxLength : random.int(300);
      const times = part.length === 0 ? 0 : Math.floor(wanted / part.length);
      return Buffer.concat([before, ...Array.from({ length: times }, () => part), after]);
    }
    case 12: {
      const from = random.int(bytes.length + 1);
      const moved = bytes.subarray(from, from + length);
      const rest = Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + length)]);
      const to = random.int(rest.length + 1);
      return Buffer.concat([rest.subarray(0, to), moved, rest.subarray(to)]);
    }
    default: {
      const odd = [
        'é',
        '🎥',
        '\u2028',
        '\ufeff',
        '\ud800',
        'ſ',
        'K',
        '%00',
        '\\u0000',
        '\r\n',
        '\t',
      ];
      return Buffer.concat([before, Buffer.from(random.pick(odd as [string, ...string[]])), after]);
    }
  }
}

/** A JSON text as a tree of texts, duplicate names kept. */
type Json = { open: string; close: string; parts: (Json | string)[] };

function changeJson(random: Random, input: Buffer, { words, other }: Changes): Buffer | undefined {
  const tree = toTree(input.toString('utf8'));
  if (!tree) return undefined;
  const holders: Json[] = [];
  collect(tree, holders);
  const holder = holders[random.int(holders.length)];
  if (!holder) return undefined;
  const at = random.int(holder.parts.length);
  const donors: Json[] = [];
  const taken = random.chance(0.3) ? toTree(Buffer.from(other()).toString('utf8')) : tree;
  if (taken) collect(taken, donors);
  const donor = donors[random.int(donors.length)];
  const part = donor?.parts[random.int(donor.parts.length)] ?? '0';
  switch (random.int(8)) {
    case 0:
      holder.parts.splice(at, 1);
      break;
    case 1:
      holder.parts.splice(at, 0, structuredClone(part));
      break;
    case 2:
      holder.parts[at] = structuredClone(part);
      break;
    case 3:
      holder.parts[at] = `"${words[random.int(words.length)] ?? ''}"`;
      break;
    case 4:
      holder.parts[at] = random.pick(['null', 'true', '""', '[]', '{}', '"\\ud800"', '-0']);
      break;
    case 5:
      holder.parts[at] = numbers[random.int(numbers.length)] ?? '0';
      break;
    case 6: {
      const leaf = holder.parts[at];
      if (typeof leaf === 'string')
        holder.parts[at] = random.chance(0.5) ? leaf.toUpperCase() : `"${leaf}"`;
      else if (leaf) holder.parts[at] = { open: '[', close: ']', parts: [leaf] };
      break;
    }
    default: {
      const name = words[random.int(words.length)] ?? '';
      const value = typeof part === 'string' ? part.replace(/^"[^"]*":/, '') : 'null';
      const member = `"${name}":${value}`;
      const isObject = holder.open.endsWith('{');
      holder.parts.splice(at, 0, isObject ? member : { open: '{', close: '}', parts: [member] });
    }
  }
  return Buffer.from(toText(tree));
}

function collect(node: Json, into: Json[]): void {
  if (node.open !== '' || node.parts.length > 0) into.push(node);
  for (const part of node.parts) if (typeof part !== 'string') collect(part, into);
}

/** Brackets and what stands between their commas and colons; undefined where there are none. */
function toTree(text: string): Json | undefined {
  const root: Json = { open: '', close: '', parts: [] };
  const stack = [root];
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\[^])*"\s*:?|[[{]|[\]}]|[^\s,[\]{}"]+/g)) {
    const top = stack.at(-1) ?? root;
    if (token === '[' || token === '{') {
      const node: Json = { open: token, close: token === '[' ? ']' : '}', parts: [] };
      const name = top.parts.at(-1);
      if (typeof name === 'string' && name.endsWith(':')) {
        top.parts.pop();
        node.open = `${name}${token}`;
      }
      top.parts.push(node);
      if (stack.length < 60) stack.push(node);
    } else if (token === ']' || token === '}') {
      if (stack.length > 1) stack.pop();
    } else {
      const name = top.parts.at(-1);
      if (typeof name === 'string' && name.endsWith(':'))
        top.parts[top.parts.length - 1] = name + token;
      else top.parts.push(token);
    }
  }
  return root.parts.length > 0 ? root : undefined;
}

function toText({ open, close, parts }: Json): string {
  return (
    open + parts.map((part) => (typeof part === 'string' ? part : toText(part))).join(',') + close
  );
}

function changeLines(random: Random, input: Buffer, { words, other }: Changes): Buffer | undefined {
  const lines = input.toString('utf8').split('\n');
  const at = random.int(lines.length);
  const line = lines[at] ?? '';
  const others = Buffer.from(other()).toString('utf8').split('\n');
  switch (random.int(9)) {
    case 0:
      lines.splice(at, 1);
      break;
    case 1:
      lines.splice(random.int(lines.length + 1), 0, line);
      break;
    case 2:
      lines[at] = `${'  '.repeat(random.int(3))}${line}`;
      break;
    case 3:
      lines[at] = line.replace(/^ {2}/, '');
      break;
    case 4:
      lines.splice(at, 0, others[random.int(others.length)] ?? '');
      break;
    case 5:
      lines[at] = line.replace(/[A-Za-z_][\w-]*/, words[random.int(words.length)] ?? '');
      break;
    case 6: {
      const value = random.pick([
        ...(words.length > 0 ? words : ['x']),
        ...numbers,
        ...[
          'null',
          '[]',
          '{}',
          '~',
          '""',
          '*a',
          '&a 1',
          '!!str 1',
          '!x y',
          '|',
          '>-',
          '0x12',
          '<<: *a',
        ],
      ] as [string, ...string[]]);
      lines[at] = line.replace(/:.*$/, () => `: ${value}`);
      break;
    }
    case 7:
      lines[at] = line.replace(/^(\s*)/, '$1- ');
      break;
    default: {
      const start = random.int(others.length);
      lines.splice(at, 1 + random.int(3), ...others.slice(start, start + 1 + random.int(4)));
    }
  }
  return Buffer.from(lines.join('\n'));
}

const varint = (value: number): Buffer => {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
};

/** One field of a message or one value of DER: its head, and what it holds. */
type Part = { head: Buffer; body: Buffer };

function readVarint(bytes: Buffer, at: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let index = 0; index < 5; index++) {
    const byte = bytes[at + index];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 128 ** index;
    if (byte < 0x80) return { value, end: at + index + 1 };
  }
  return undefined;
}

/** The fields of a message; those that hold a length have a head without it. undefined for what is none. */
function fieldsOf(bytes: Buffer): Part[] | undefined {
  const fields: Part[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = readVarint(bytes, at);
    if (!tag) return undefined;
    const head = bytes.subarray(at, tag.end);
    const start = tag.end;
    switch (tag.value & 7) {
      case 0: {
        const value = readVarint(bytes, start);
        at = value ? value.end : bytes.length;
        fields.push({ head, body: bytes.subarray(start, at) });
        break;
      }
      case 2: {
        const length = readVarint(bytes, start);
        if (!length || length.end + length.value > bytes.length) return undefined;
        at = length.end + length.value;
        fields.push({ head, body: bytes.subarray(length.end, at) });
        break;
      }
      case 1:
      case 5:
        at = start + ((tag.value & 7) === 1 ? 8 : 4);
        fields.push({ head, body: bytes.subarray(start, at) });
        break;
      default:
        return undefined;
    }
  }
  return fields;
}

const isDelimited = ({ head }: Part): boolean => ((head[0] ?? 0) & 7) === 2;

function joinFields(fields: readonly Part[]): Buffer {
  return Buffer.concat(
    fields.flatMap((field) =>
      isDelimited(field)
        ? [field.head, varint(field.body.length), field.body]
        : [field.head, field.body],
    ),
  );
}

function changeProtobuf(random: Random, input: Buffer, changes: Changes): Buffer | undefined {
  const fields = fieldsOf(input);
  if (!fields || fields.length === 0) return undefined;
  const at = random.int(fields.length);
  const field = fields[at];
  if (!field) return undefined;
  if (isDelimited(field) && field.body.length > 0 && random.chance(0.6)) {
    const inner =
      changeProtobuf(random, field.body, changes) ?? changeBytes(random, field.body, changes);
    fields[at] = { ...field, body: inner };
    return joinFields(fields);
  }
  switch (random.int(9)) {
    case 0:
      fields.splice(at, 1);
      break;
    case 1:
      fields.splice(random.int(fields.length + 1), 0, field);
      break;
    case 2: {
      const others = fieldsOf(Buffer.from(changes.other()));
      const taken = others?.[random.int(others.length)];
      if (taken) fields.splice(at, 0, taken);
      break;
    }
    case 3: {
      // another number or wire type over the same bytes
      const wireType = random.pick([0, 1, 2, 2, 3, 4, 5, 6]);
      const number = random.pick([1, 2, 3, 4, 5, 6, 7, 33, 34, 100, 0, 2 ** 28]);
      fields[at] = { ...field, head: varint(number * 8 + wireType) };
      break;
    }
    case 4:
      if (!isDelimited(field)) fields[at] = { ...field, body: random.pick(varints) };
      break;
    case 5: {
      // the same tag in more bytes
      const last = field.head.length - 1;
      const zeros = random.pick([1, 4, 6, 8, 9]);
      const head = Buffer.concat([field.head, Buffer.alloc(zeros, 0x80)]);
      head[last] = (head[last] ?? 0) | 0x80;
      head[head.length - 1] = 0;
      fields[at] = { ...field, head };
      break;
    }
    case 6: {
      // a length in more bytes, or one of more than 32 bits
      const length = Buffer.concat([varint(field.body.length), Buffer.alloc(5, 0x80)]);
      const last = varint(field.body.length).length - 1;
      length[last] = (length[last] ?? 0) | 0x80;
      length[length.length - 1] = random.pick([0, 0, 1, 0x10]);
      const raw = isDelimited(field) ? Buffer.concat([field.head, length, field.body]) : field.head;
      return Buffer.concat([
        joinFields(fields.slice(0, at)),
        raw,
        joinFields(fields.slice(at + 1)),
      ]);
    }
    case 7: {
      const number = random.pick([1, 9, 33, 500]);
      const group = Buffer.concat([
        varint(number * 8 + 3),
        joinFields([field]),
        varint(number * 8 + 4),
      ]);
      const rest = [joinFields(fields.slice(0, at)), group, joinFields(fields.slice(at))];
      return Buffer.concat(rest);
    }
    default:
      fields.reverse();
  }
  return joinFields(fields);
}

const varints = [
  ...[
    '00',
    '01',
    '7f',
    '8001',
    '8000',
    'ffffffff0f',
    'ffffffff1f',
    '80808080808000',
    'ffffffffffffffff7f',
  ],
  ...[
    'ffffffffffffffffff01',
    'ffffffffffffffffff02',
    'ffffffffffffffffffff01',
    '80808080808080808000',
  ],
  ...['80808080808080808080', '8080808080808080808000', 'ff'],
].map((digits) => Buffer.from(digits, 'hex')) as [Buffer, ...Buffer[]];

/** Values of DER one after the other; undefined for what is none. */
function valuesOf(bytes: Buffer): Part[] | undefined {
  const values: Part[] = [];
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at + 1];
    if (first === undefined) return undefined;
    const size = first < 0x80 ? 0 : first & 0x7f;
    if (size > 4) return undefined;
    const length = size === 0 ? first : bytes.subarray(at + 2, at + 2 + size).readUIntBE(0, size);
    const start = at + 2 + size;
    if (start + length > bytes.length) return undefined;
    values.push({ head: bytes.subarray(at, at + 1), body: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return values;
}

function joinValues(values: readonly Part[]): Buffer {
  return Buffer.concat(
    values.flatMap(({ head, body: { length }, body }) => [
      head,
      length < 0x80
        ? Buffer.of(length)
        : length < 0x100
          ? Buffer.of(0x81, length)
          : Buffer.of(0x82, length >> 8, length & 0xff),
      body,
    ]),
  );
}

function changeDer(random: Random, input: Buffer, changes: Changes): Buffer | undefined {
  let values: Part[] | undefined;
  try {
    values = valuesOf(input);
  } catch {
    return undefined;
  }
  if (!values || values.length === 0) return undefined;
  const at = random.int(values.length);
  const value = values[at];
  if (!value) return undefined;
  const isConstructed = ((value.head[0] ?? 0) & 0x20) !== 0;
  if (random.chance(isConstructed ? 0.7 : 0.3)) {
    const inner =
      (isConstructed ? changeDer(random, value.body, changes) : undefined) ??
      changeBytes(random, value.body, changes);
    values[at] = { ...value, body: inner };
    return joinValues(values);
  }
  switch (random.int(6)) {
    case 0:
      values.splice(at, 1);
      break;
    case 1:
      values.splice(at, 0, value);
      break;
    case 2:
      values[at] = {
        ...value,
        head: Buffer.of(random.pick([2, 3, 4, 5, 6, 0x30, 0x31, 0x22, 0x24, 0x17, 0xa0, 0x82])),
      };
      break;
    case 3:
      values[at] = {
        ...value,
        body: Buffer.concat([Buffer.of(random.pick([0, 1, 0x80, 0xff])), value.body]),
      };
      break;
    case 4:
      values[at] = { head: Buffer.of(random.pick([0x30, 0x04, 0x24])), body: joinValues([value]) };
      break;
    default:
      values.reverse();
  }
  return joinValues(values);
}
