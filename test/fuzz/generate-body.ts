import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { WireType } from '@bufbuild/protobuf/wire';
import { uintToMinimalBytes } from '../../src/pm/bytes.ts';
import {
  CapabilitiesSchema,
  Capabilities_ConstraintsSchema,
  OrchestratorInfoSchema,
} from '../../src/wire/net_pb.ts';
import type { Random } from '../support/random.ts';

/** A JSON object as its members in order, each value as JSON text; keys may repeat. */
export type Members = [key: string, json: string][];

/** The members of a valid body. */
export function membersOf(body: string): Members {
  return Object.entries(JSON.parse(body) as object).map(([key, value]) => [
    key,
    JSON.stringify(value),
  ]);
}

function encode(members: Members): string {
  return `{${members.map(([key, json]) => `${JSON.stringify(key)}:${json}`).join(',')}}`;
}

const utf8 = new TextEncoder();
type Pool = readonly [Members, ...Members[]];
type Strategy = (random: Random, pool: Pool) => Uint8Array;

/** One body, valid or not: mostly a good one of the pool with something changed. */
export function generateBody(random: Random, pool: Pool): Uint8Array {
  return random.pick(strategies)(random, pool);
}

const valid: Strategy = (random, pool) => utf8.encode(encode(random.pick(pool)));

const alteredFields: Strategy = (random, pool) => {
  const members = copy(random.pick(pool));
  for (let times = 1 + random.int(3); times > 0; times--) alterField(random, members, pool);
  return utf8.encode(encode(members));
};

const alteredProtobuf: Strategy = (random, pool) => {
  const members = copy(random.pick(pool));
  set(members, 'orchestrator', toJsonBytes(random, alterOrchestrator(random, members)));
  if (random.chance(0.2)) alterField(random, members, pool);
  return utf8.encode(encode(members));
};

const alteredBytes: Strategy = (random, pool) => {
  let bytes = valid(random, pool);
  for (let times = 1 + random.int(3); times > 0; times--) bytes = alterBytes(random, bytes);
  return bytes;
};

const alteredStructure: Strategy = (random, pool) => {
  const members = copy(random.pick(pool));
  const index = random.int(members.length);
  const member = members[index];
  if (member) member[1] = anyJson(random, 0);
  return utf8.encode(random.chance(0.2) ? anyJson(random, 0) : encode(members));
};

const noise: Strategy = (random) => random.bytes(random.int(300));

const largeBody: Strategy = (random, pool) => {
  const size = random.pick([30_000, 64_000, 65_536, 66_000, 100_000]);
  const members = copy(random.pick(pool));
  const padding = 'x'.repeat(size);
  if (random.chance(0.5)) set(members, random.pick(['app', 'ManifestID', 'note']), `"${padding}"`);
  else {
    const info = orchestratorOf(members);
    const target = random.pick(['transcoder', 'seed', 'faceValue', 'expirationBlock'] as const);
    const bytes = random.bytes(Math.floor(size / 2)).map((byte) => byte | 1);
    if (target === 'transcoder') info.transcoder = padding.slice(0, size / 2);
    else if (info.ticketParams) info.ticketParams[target] = bytes;
    set(members, 'orchestrator', toJsonBytes(random, toBinary(OrchestratorInfoSchema, info)));
  }
  return utf8.encode(encode(members));
};

/** Repeated by weight. */
const strategies: [Strategy, ...Strategy[]] = [
  valid,
  ...Array.from({ length: 8 }, () => alteredFields),
  ...Array.from({ length: 8 }, () => alteredProtobuf),
  ...Array.from({ length: 5 }, () => alteredBytes),
  ...Array.from({ length: 4 }, () => alteredStructure),
  noise,
  (random, pool) => (random.chance(0.2) ? largeBody : alteredFields)(random, pool),
];

function copy(members: Members): Members {
  return members.map(([key, json]) => [key, json]);
}

function set(members: Members, key: string, json: string): void {
  const member = members.find(([name]) => name === key);
  if (member) member[1] = json;
  else members.push([key, json]);
}

function bytesOf(members: Members, key: string): Uint8Array {
  const json = members.find(([name]) => name === key)?.[1] ?? '""';
  const value: unknown = JSON.parse(json);
  return typeof value === 'string'
    ? Uint8Array.from(Buffer.from(value, 'base64'))
    : utf8.encode('');
}

/** Bytes as JSON in one of the forms that Go's decoder takes, or, now and then, one it does not. */
function toJsonBytes(random: Random, bytes: Uint8Array): string {
  const base64 = Buffer.from(bytes).toString('base64');
  switch (random.int(24)) {
    case 0:
      return JSON.stringify([...bytes]);
    case 1:
      return JSON.stringify(base64.replace(/(.{64})/g, '$1\r\n'));
    case 2:
      return JSON.stringify(base64.replace(/=+$/, ''));
    case 3:
      return JSON.stringify(Buffer.from(bytes).toString('base64url'));
    case 4:
      return `"${base64.replaceAll('A', '\\u0041')}"`;
    default:
      return JSON.stringify(base64);
  }
}

const hugeIntegers = [
  ...['0', '-0', '1', '-1', '4294967296', '9007199254740993', '9223372036854775807'],
  ...['9223372036854775808', '-9223372036854775808', '-9223372036854775809'],
  ...['18446744073709551616', `1${'0'.repeat(400)}`, '1e3', '1e400', '-1.5', '0.1', '00', '1.'],
] as unknown as [string, ...string[]];

const oddTexts: [string, ...string[]] = [
  ...(['', 'mid1', 'a', '<&>', 'é', '🎥', '\u0000', '\u2028', '\ufeff', '__proto__'] as const),
  ...['constructor', 'm'.repeat(104), 'm'.repeat(168), 'é'.repeat(52), 'x'.repeat(5000)],
] as [string, ...string[]];

function anyJson(random: Random, depth: number): string {
  switch (random.int(depth > 4 ? 6 : 10)) {
    case 0:
      return random.pick(['null', 'true', 'false']);
    case 1:
      return random.pick(hugeIntegers);
    case 2:
      return String(random.int(300));
    case 3:
      return JSON.stringify(random.pick(oddTexts));
    case 4:
      return random.pick([
        '"\\ud800"',
        '"\\u12"',
        '"\\x"',
        '"',
        '',
        '[',
        '{',
        '{"a"',
        '[1,]',
        '{,}',
      ]);
    case 5:
      return JSON.stringify(Buffer.from(random.bytes(random.int(60))).toString('base64'));
    case 6: {
      const levels = random.pick([10, 100, 255, 256, 257, 1000, 20_000]);
      const [open, close] = random.pick([
        ['[', ']'],
        ['{"a":', '}'],
      ]);
      return `${open.repeat(levels)}1${random.chance(0.8) ? close.repeat(levels) : ''}`;
    }
    case 7:
      return `[${Array.from({ length: random.int(5) }, () => anyJson(random, depth + 1)).join(',')}]`;
    default: {
      const keys = ['State', 'Sig', 'price', 'currency', 'unit', 'orchestrator', 'x'] as const;
      const members = Array.from({ length: random.int(5) }, () => {
        const json = anyJson(random, depth + 1);
        return `${JSON.stringify(random.pick(keys))}:${json}`;
      });
      return `{${members.join(',')}}`;
    }
  }
}

const knownKeys = [
  ...(['state', 'orchestrator', 'ManifestID', 'app', 'inPixels', 'type'] as const),
  ...(['maxPrice', 'capabilities'] as const),
] as [string, ...string[]];

function alterField(random: Random, members: Members, pool: Pool): void {
  switch (random.int(14)) {
    case 0: {
      set(members, 'ManifestID', JSON.stringify(random.pick(oddTexts)));
      return;
    }
    case 1: {
      set(members, 'app', JSON.stringify(random.pick(oddTexts)));
      return;
    }
    case 2: {
      const type = random.pick(['lv2v', 'live', 'fixed', '', 'LV2V', 'usage', 'constructor']);
      set(members, 'type', JSON.stringify(type));
      return;
    }
    case 3: {
      set(members, 'inPixels', random.pick(hugeIntegers));
      return;
    }
    case 4: {
      const price = random.pick(['1200', '"1200"', '1e3', '1e5', '0', '-1', '"x"', '1200.0001']);
      const currency = random.pick(['wei', ' WEI ', 'eth', '']);
      const unit = random.pick(['720p-pixel-seconds', 'seconds', 'fixed', 'Fixed ', '']);
      const rest = JSON.stringify({ currency, unit }).slice(1);
      set(members, 'maxPrice', `{"price":${price},${rest}`);
      return;
    }
    case 5: {
      set(members, 'capabilities', toJsonBytes(random, anyCapabilities(random)));
      return;
    }
    case 6: {
      const member = members[random.int(members.length)];
      if (member) member[0] = random.pick([(key: string) => key.toUpperCase(), oddCase])(member[0]);
      return;
    }
    case 7: {
      const other = random.pick(pool);
      const taken = other[random.int(other.length)];
      if (taken) members.push([random.chance(0.5) ? taken[0] : taken[0].toUpperCase(), taken[1]]);
      return;
    }
    case 8: {
      const from = members[random.int(members.length)];
      const to = members[random.int(members.length)];
      if (from && to) [from[1], to[1]] = [to[1], from[1]];
      return;
    }
    case 9:
      members.splice(random.int(members.length), 1);
      return;
    case 10: {
      set(members, random.pick(knownKeys), 'null');
      return;
    }
    case 11:
      members.reverse();
      members.push([random.pick(oddTexts), anyJson(random, 3)]);
      return;
    default:
      alterState(random, members);
  }
}

function oddCase(key: string): string {
  return key.toLowerCase().replaceAll('s', 'ſ').replaceAll('k', 'K');
}

function alterState(random: Random, members: Members): void {
  const json = members.find(([key]) => key === 'state')?.[1];
  const state = json?.startsWith('{"State":"') ? (JSON.parse(json) as Record<string, string>) : {};
  const bytes = Uint8Array.from(Buffer.from(state['State'] ?? '', 'base64'));
  const sig = Uint8Array.from(Buffer.from(state['Sig'] ?? '', 'base64'));
  const [changedState, changedSig] = random.pick<[Uint8Array, Uint8Array]>([
    [alterBytes(random, bytes), sig],
    [bytes, alterBytes(random, sig)],
    [sig, bytes],
    [bytes, new Uint8Array()],
    [new Uint8Array(), sig],
    [bytes, random.bytes(65)],
    [utf8.encode('null'), sig],
    [bytes, sig],
  ]);
  const spelling = random.pick([
    ['State', 'Sig'],
    ['state', 'sig'],
    ['STATE', 'ſIG'],
  ]);
  set(
    members,
    'state',
    `{"${spelling[0] ?? ''}":${toJsonBytes(random, changedState)},` +
      `"${spelling[1] ?? ''}":${toJsonBytes(random, changedSig)}}`,
  );
}

function anyCapabilities(random: Random): Uint8Array {
  if (random.chance(0.2)) return random.bytes(random.int(100));
  const models = Object.fromEntries(
    Array.from({ length: random.int(4) }, () => [
      random.pick(['noop', 'default', '', 'a/b', 'toString']),
      { warm: random.chance(0.5), capacity: random.int(5), capacityInUse: random.int(5) },
    ]),
  );
  return toBinary(
    CapabilitiesSchema,
    create(CapabilitiesSchema, {
      bitstring: Array.from(
        { length: random.pick([0, 1, 2, 64, 65, 500]) },
        () => BigInt(random.int(2 ** 32)) << BigInt(random.int(33)),
      ),
      capacities: random.chance(0.5) ? { [random.int(70)]: random.int(9) } : {},
      version: random.pick(['', '0.8.1', 'x'.repeat(100)]),
      constraints: create(Capabilities_ConstraintsSchema, {
        perCapability: { [random.int(40)]: { models } },
      }),
    }),
  );
}

function orchestratorOf(members: Members) {
  const bytes = bytesOf(members, 'orchestrator');
  try {
    return fromBinary(OrchestratorInfoSchema, bytes);
  } catch {
    return create(OrchestratorInfoSchema);
  }
}

function alterOrchestrator(random: Random, members: Members): Uint8Array {
  const info = orchestratorOf(members);
  if (random.chance(0.4)) {
    let bytes: Uint8Array = toBinary(OrchestratorInfoSchema, info);
    for (let times = 1 + random.int(2); times > 0; times--) bytes = alterBytes(random, bytes);
    return bytes;
  }
  for (let times = 1 + random.int(2); times > 0; times--) alterInfo(random, info);
  return toBinary(OrchestratorInfoSchema, info);
}

const int64s: [bigint, ...bigint[]] = [
  ...([0n, 1n, -1n, 2n, 1000n, 1200n, 2n ** 31n, 2n ** 53n + 1n] as [bigint, ...bigint[]]),
  ...[2n ** 63n - 1n, -(2n ** 63n)],
];
const uints: [bigint, ...bigint[]] = [
  ...([0n, 1n, 2n, 10n ** 12n, 10n ** 15n, 10n ** 17n, 5n * 10n ** 17n] as [bigint, ...bigint[]]),
  ...[5n * 10n ** 17n + 1n, 20_999_970n, 20_999_971n, 20_999_972n, 2n ** 64n, 2n ** 255n],
  ...[2n ** 256n - 1n, 2n ** 256n, 2n ** 400n],
];

function alterInfo(random: Random, info: ReturnType<typeof orchestratorOf>): void {
  const { ticketParams, priceInfo, authToken } = info;
  const uint = () =>
    random.chance(0.5) ? uintToMinimalBytes(random.pick(uints)) : random.bytes(random.int(40));
  switch (random.int(16)) {
    case 0:
      if (priceInfo) priceInfo.pricePerUnit = random.pick(int64s);
      return;
    case 1:
      if (priceInfo) priceInfo.pixelsPerUnit = random.pick(int64s);
      return;
    case 2:
      delete info.priceInfo;
      return;
    case 3:
      if (ticketParams) ticketParams.faceValue = uint();
      return;
    case 4:
      if (ticketParams) ticketParams.winProb = uint();
      return;
    case 5:
      if (ticketParams) ticketParams.recipient = random.bytes(random.pick([0, 1, 20, 21, 40]));
      return;
    case 6:
      if (ticketParams) {
        ticketParams.recipientRandHash = random.bytes(random.pick([0, 1, 31, 32, 33, 64]));
      }
      return;
    case 7:
      if (ticketParams) ticketParams.seed = uint();
      return;
    case 8:
      if (ticketParams) ticketParams.expirationBlock = uint();
      return;
    case 9:
      if (ticketParams?.expirationParams) {
        ticketParams.expirationParams.creationRound = random.pick(int64s);
      }
      return;
    case 10:
      if (ticketParams?.expirationParams) {
        ticketParams.expirationParams.creationRoundBlockHash = random.bytes(random.int(40));
      }
      return;
    case 11:
      if (ticketParams) delete ticketParams.expirationParams;
      return;
    case 12:
      random.pick<() => void>([
        () => delete info.ticketParams,
        () => delete info.authToken,
        () => (info.address = random.bytes(random.pick([0, 1, 20, 33]))),
      ])();
      return;
    case 13:
      if (authToken) authToken.expiration = random.pick(int64s);
      return;
    case 14:
      info.transcoder = random.pick([
        ...(['', 'https://a\r\nSet-Cookie: x', '\u0000', 'é🎥', 'x'.repeat(3000)] as const),
      ]);
      return;
    default:
      info.$unknown = [
        {
          no: 1 + random.int(100),
          wireType: WireType.LengthDelimited,
          data: Uint8Array.of(3, ...random.bytes(3)),
        },
      ];
  }
}

function alterBytes(random: Random, bytes: Uint8Array): Uint8Array {
  const at = random.int(bytes.length + 1);
  const length = random.int(20);
  switch (random.int(7)) {
    case 0:
      return bytes.map((byte, index) => (index === at ? byte ^ (1 << random.int(8)) : byte));
    case 1:
      return bytes.slice(0, at);
    case 2:
      return bytes.slice(at);
    case 3:
      return join(bytes.slice(0, at), bytes.slice(at + length));
    case 4:
      return join(bytes.slice(0, at), random.bytes(length), bytes.slice(at));
    case 5:
      return join(bytes.slice(0, at), bytes.slice(Math.max(0, at - length)));
    default:
      return bytes.map((byte, index) => (index === at ? random.int(256) : byte));
  }
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}
