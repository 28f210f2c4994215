import { createHash, createPublicKey, verify } from 'node:crypto';
import { type Hex, hashMessage, hashTypedData, hexToBytes, toHex } from 'viem';
import { loadNativeRecover } from '../../src/keys/secp256k1.ts';
import {
  AuthTokenSchema,
  type Capabilities,
  CapabilitiesSchema,
  OrchestratorInfoSchema,
  PriceInfoSchema,
} from '../../src/wire/net_pb.ts';
import { readAsGo, sizeOf } from './go-protobuf.ts';

/** What a judgement of a body depends on. */
export type World = {
  /** Unix nanoseconds */
  readonly now: bigint;
  /** the sender's, 65 bytes */
  readonly publicKey: Uint8Array;
  readonly l1Block: bigint;
  /** wei */
  readonly deposit: bigint;
};

/** Why a body must be refused; thrown. */
export class Refused extends Error {}

function refuse(reason: string): never {
  throw new Refused(reason);
}

const maxTicketEv = 3_000_000_000_000n;
const maxTotalEv = 20_000_000_000_000n;
const maxWinProb = 2n ** 256n - 1n;

/**
 * How many tickets a body of `POST /generate-live-payment` must be answered with, and whether its session carries the
 * signed credentials, or why none: the protocol's text put into code a second time, over `JSON.parse`, apart from the
 * product's decoder, policy and arithmetic.
 */
export function judgeBody(
  body: Uint8Array,
  world: World,
): { tickets: bigint; carriesCredentials: boolean } | { reason: string } {
  try {
    return judge(body, world);
  } catch (error) {
    if (error instanceof Refused) return { reason: error.message };
    throw error;
  }
}

function judge(body: Uint8Array, world: World): { tickets: bigint; carriesCredentials: boolean } {
  if (body.length > 65_536) refuse('too large');
  const fields = readFields(body);
  if (fields.orchestrator.length === 0) refuse('no orchestrator');
  const info = attempt(() => readAsGo(OrchestratorInfoSchema, fields.orchestrator), 'protobuf');
  const { priceInfo: price, ticketParams: params, authToken } = info;
  if (!price || price.pricePerUnit <= 0n || price.pixelsPerUnit <= 0n) refuse('price');
  if (!params) refuse('no params');
  for (const name of [fields.app, fields.manifestId]) {
    if (Buffer.byteLength(name) > 255) refuse('a name of over 255 bytes');
  }
  let { manifestId } = fields;
  if (manifestId === '' && authToken && (fields.type === 'live' || fields.type === 'fixed')) {
    manifestId = authToken.sessionId;
    if (manifestId === '') refuse('no session id');
  }
  const session = readSession(fields, world.publicKey);
  if (session) {
    if (session.orchestrator !== hexOf(info.address, 20)) refuse('another orchestrator');
    if (session.app !== fields.app) refuse('another app');
    if (session.type !== '' && session.type !== fields.type) refuse('another type');
    if (manifestId === '') refuse('no manifest id');
    const recipient = hexOf(params.recipient, 20);
    if (session.recipient !== undefined && session.recipient !== recipient) refuse('recipient');
  }
  const capabilities =
    fields.capabilities.length > 0
      ? attempt(() => readAsGo(CapabilitiesSchema, fields.capabilities), 'capabilities')
      : undefined;
  if (capabilities && capabilities.bitstring.length > 64) refuse('capabilities');
  if (!authToken) refuse('no auth token');
  const copied =
    asField(sizeOf(AuthTokenSchema, authToken)) +
    (capabilities ? asField(sizeOf(CapabilitiesSchema, asWritten(capabilities))) : 0) +
    sizeOf(PriceInfoSchema, price) +
    bytesOfNumber(params.seed) +
    bytesOfNumber(params.expirationBlock);
  if (copied > 32_768) refuse('too large an answer');
  if (world.now > (authToken.expiration - 180n) * 10n ** 9n) refuse('auth token expires');

  const faceValue = uint(params.faceValue);
  const winProb = uint(params.winProb);
  if (faceValue > maxWinProb || winProb > maxWinProb) refuse('wider than 256 bits');
  if ((params.expirationParams?.creationRound ?? 0n) < 0n) refuse('round');
  const expirationBlock = uint(params.expirationBlock);
  if (expirationBlock === 0n || expirationBlock - world.l1Block <= 1n) refuse('expired');
  // all money from here on is in wei · (2^256 - 1) · pixelsPerUnit of the fee, as whole numbers
  const evTimes = faceValue * winProb;
  if (evTimes === 0n) refuse('tickets of no value');
  if (evTimes >= faceValue * maxWinProb) refuse('wins for certain');
  if (evTimes > maxTicketEv * maxWinProb) refuse('EV of one ticket');
  if (faceValue > world.deposit) refuse('face value');
  const hash = hexOf(params.recipientRandHash, 32);
  if (session?.pmSessionId === hash && session.senderNonce >= 500) refuse('nonces');

  const elapsed = session ? world.now - session.lastUpdate : undefined;
  const units = billableUnits(fields, elapsed);
  const requestCeiling = fields.maxPrice && readCeiling(fields.maxPrice, fields.type);
  const initial = session ? session.price : ([price.pricePerUnit, price.pixelsPerUnit] as const);
  const quoted = [price.pricePerUnit, price.pixelsPerUnit] as const;
  for (const [billable, ceiling] of [
    [quoted, requestCeiling],
    [initial, requestCeiling],
    [quoted, initial],
  ] as const) {
    if (ceiling && billable[0] * ceiling[1] > ceiling[0] * billable[1]) {
      refuse('price above a ceiling');
    }
  }

  const [balance, balanceScale] = session?.balance ?? [0n, 1n];
  const scale = maxWinProb * initial[1] * balanceScale;
  const fee = units * initial[0] * maxWinProb * balanceScale;
  const ev = evTimes * initial[1] * balanceScale;
  const credit = (balance * scale) / balanceScale;
  const ceil = (amount: bigint) => (amount <= 0n ? 0n : (amount + ev - 1n) / ev);
  const asUpstream = ceil((fee > ev ? fee : ev) - credit);
  let tickets = asUpstream;
  if (fields.type === 'lv2v' || fields.type === 'live') {
    const tenSeconds = 10n * initial[0] * maxWinProb * balanceScale;
    const kept = fields.type === 'live' ? ceil(tenSeconds) : 1n;
    const allowance = smaller(100n, (maxTotalEv * maxWinProb) / evTimes);
    tickets = ceil(fee + kept * ev - credit);
    if (tickets > allowance) tickets = asUpstream > allowance ? asUpstream : allowance;
  }
  if (tickets === 0n) refuse('no tickets');
  if (tickets > 100n) refuse('too many tickets');
  if (tickets * evTimes > maxTotalEv * maxWinProb) refuse('EV of all tickets');
  const idLength = Buffer.byteLength(manifestId);
  if (idLength === 104 || idLength === 168) refuse('manifest id');
  return { tickets, carriesCredentials: session?.manifestIdHash === sha256Of(manifestId) };
}

/** Of a message as a field of another one, whose number is below 16. */
function asField(size: number): number {
  let length = 1;
  for (let rest = size >> 7; rest > 0; rest >>= 7) length += 1;
  return 1 + length + size;
}

/** Without leading zeros. */
function bytesOfNumber(bytes: Uint8Array): number {
  const first = bytes.findIndex((byte) => byte !== 0);
  return first < 0 ? 0 : bytes.length - first;
}

/** Capabilities as an answer has them: constraints always, a capacity for each bit where none is given, nothing unknown. */
function asWritten({
  bitstring,
  mandatories,
  capacities,
  version,
  constraints,
}: Capabilities): object {
  const bits = bitstring.flatMap((word, index) =>
    Array.from({ length: 64 }, (_, bit) => 64 * index + bit).filter(
      (_, bit) => (word >> BigInt(bit)) & 1n,
    ),
  );
  const perCapability = Object.entries(constraints?.perCapability ?? {}).map(
    ([key, { models }]) => [
      key,
      {
        models: Object.fromEntries(
          Object.entries(models).map(([model, { warm, capacity, runnerVersion }]) => [
            model,
            { warm, capacity, runnerVersion, capacityInUse: 0 },
          ]),
        ),
      },
    ],
  );
  return {
    bitstring,
    mandatories,
    version,
    capacities:
      Object.keys(capacities).length > 0
        ? capacities
        : Object.fromEntries(bits.map((bit) => [bit, 1])),
    constraints: {
      minVersion: constraints?.minVersion ?? '',
      perCapability: Object.fromEntries(perCapability) as object,
    },
  };
}

const smaller = (a: bigint, b: bigint): bigint => (a < b ? a : b);

function attempt<Result>(read: () => Result, reason: string): Result {
  try {
    return read();
  } catch {
    return refuse(reason);
  }
}

function uint(bytes: Uint8Array): bigint {
  return BigInt(`0x0${Buffer.from(bytes).toString('hex')}`);
}

function hexOf(bytes: Uint8Array, size: number): string {
  const digits = Buffer.from(bytes)
    .toString('hex')
    .padStart(2 * size, '0');
  return `0x${digits.slice(digits.length - 2 * size)}`;
}

function billableUnits(fields: Fields, elapsed: bigint | undefined): bigint {
  const second = 10n ** 9n;
  // a clock that stood still or was set back costs nothing, and is no reason to refuse
  const stoodStill = elapsed !== undefined && elapsed <= 0n;
  const atLeastOne = (units: bigint) => (units > 0n ? units : refuse('nothing to bill'));
  switch (fields.type) {
    case 'lv2v':
      return stoodStill ? 0n : atLeastOne((27_648_000n * (elapsed ?? 60n * second)) / second);
    case 'live':
      return stoodStill ? 0n : ((elapsed ?? 10n * second) + second - 1n) / second;
    case 'fixed':
      return 1n;
    case '':
      return atLeastOne(fields.inPixels);
    default:
      return refuse('type');
  }
}

function readCeiling(
  { price, currency, unit }: Record<'price' | 'currency' | 'unit', string>,
  type: string,
): [bigint, bigint] {
  if (price.length > 1024) refuse('maxPrice');
  const [, sign, whole = '', places = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(price) ?? [];
  if (sign !== '' || exponent.replace(/^[+-]/, '').length > 3) refuse('maxPrice');
  const power = BigInt(exponent) - BigInt(places.length);
  const digits = BigInt(whole + places);
  if (digits === 0n || currency.trim().toLowerCase() !== 'wei') refuse('maxPrice');
  const units: Record<string, string> = {
    live: 'seconds',
    lv2v: '720p-pixel-seconds',
    fixed: 'fixed',
  };
  if (!Object.hasOwn(units, type) || unit.trim().toLowerCase() !== units[type]) refuse('maxPrice');
  return power < 0n ? [digits, 10n ** -power] : [digits * 10n ** power, 1n];
}

type Fields = {
  state: { bytes: Uint8Array; sig: Uint8Array };
  orchestrator: Uint8Array;
  manifestId: string;
  app: string;
  inPixels: bigint;
  type: string;
  maxPrice: Record<'price' | 'currency' | 'unit', string> | undefined;
  capabilities: Uint8Array;
};

const empty = new Uint8Array();

export function readFields(body: Uint8Array): Fields {
  const fields: Fields = {
    state: { bytes: empty, sig: empty },
    orchestrator: empty,
    manifestId: '',
    app: '',
    inPixels: 0n,
    type: '',
    maxPrice: undefined,
    capabilities: empty,
  };
  for (const [key, json] of membersOf(firstValue(Buffer.from(body).toString('utf8')))) {
    const isNull = json === 'null';
    if (/^state$/iu.test(key) && !isNull) {
      for (const [name, part] of membersOf(json)) {
        if (/^state$/iu.test(name)) fields.state.bytes = bytesOf(part);
        if (/^sig$/iu.test(name)) fields.state.sig = bytesOf(part);
      }
    } else if (/^orchestrator$/iu.test(key)) fields.orchestrator = bytesOf(json);
    else if (/^capabilities$/iu.test(key)) fields.capabilities = bytesOf(json);
    else if (/^manifestid$/iu.test(key) && !isNull) fields.manifestId = textOf(json);
    else if (/^app$/iu.test(key) && !isNull) fields.app = textOf(json);
    else if (/^type$/iu.test(key) && !isNull) fields.type = textOf(json);
    else if (/^inpixels$/iu.test(key) && !isNull) fields.inPixels = int64Of(json);
    else if (/^maxprice$/iu.test(key)) {
      fields.maxPrice = isNull ? undefined : maxPriceOf(json, fields.maxPrice);
    }
  }
  return fields;
}

function maxPriceOf(json: string, earlier: Fields['maxPrice']): NonNullable<Fields['maxPrice']> {
  const maxPrice = { price: '', currency: '', unit: '', ...earlier };
  for (const [name, part] of membersOf(json)) {
    if (part === 'null') continue;
    if (/^price$/iu.test(name)) {
      const text = part.startsWith('"') ? textOf(part) : part;
      if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text)) refuse('maxPrice.price');
      maxPrice.price = text;
    }
    if (/^currency$/iu.test(name)) maxPrice.currency = textOf(part);
    if (/^unit$/iu.test(name)) maxPrice.unit = textOf(part);
  }
  return maxPrice;
}

function int64Of(json: string): bigint {
  if (!/^-?\d+$/.test(json)) refuse('integer');
  const integer = BigInt(json);
  return BigInt.asIntN(64, integer) === integer ? integer : refuse('integer');
}

function textOf(json: string): string {
  const value: unknown = JSON.parse(json);
  return typeof value === 'string' ? value.toWellFormed() : refuse('string');
}

function bytesOf(json: string): Uint8Array {
  if (json === 'null') return empty;
  if (json.startsWith('[')) {
    return Uint8Array.from(
      itemsOf(json).map((item) => {
        if (item === 'null') return 0;
        // Go reads no sign before an unsigned number, not even that of -0
        if (item.startsWith('-')) refuse('byte');
        const byte = int64Of(item);
        return byte < 256n ? Number(byte) : refuse('byte');
      }),
    );
  }
  const base64 = textOf(json).replace(/[\r\n]/g, '');
  if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) refuse('base64');
  return Uint8Array.from(Buffer.from(base64, 'base64'));
}

type Token = { readonly text: string; readonly start: number; readonly end: number };

function* tokensOf(text: string): Generator<Token> {
  const pattern = /[ \t\r\n]*("(?:[^"\\]|\\[^])*"|[{}[\],:]|[^ \t\r\n"{}[\],:]+)/y;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    const token = match[1] ?? '';
    yield { text: token, start: pattern.lastIndex - token.length, end: pattern.lastIndex };
  }
}

const maxDepth = 256;

/** The text of the first JSON value, which must be a well-formed object that is not nested too deeply. */
function firstValue(text: string): string {
  let depth = 0;
  for (const token of tokensOf(text)) {
    if (/[}\]]/.test(token.text) && token.text.length === 1) depth--;
    else if (depth > maxDepth && token.text !== ',' && token.text !== ':') refuse('too deep');
    if ((token.text === '{' || token.text === '[') && depth++ === maxDepth + 1) refuse('too deep');
    if (depth > 0) continue;
    const value = text.slice(0, token.end);
    attempt(() => JSON.parse(value) as unknown, 'no JSON');
    return value.trim().startsWith('{') ? value : refuse('no object');
  }
  return refuse('no JSON');
}

/** The parts of a well-formed array or object, as text: keys and values in turn for an object. */
function itemsOf(json: string): string[] {
  const items: string[] = [];
  let depth = 0;
  let start = 0;
  for (const token of tokensOf(json)) {
    const isSeparator = depth === 1 && (token.text === ',' || token.text === ':');
    const isEnd = depth === 1 && (token.text === '}' || token.text === ']');
    if (isSeparator || isEnd) {
      const item = json.slice(start, token.start).trim();
      if (item !== '') items.push(item);
      start = token.end;
    }
    if (token.text === '{' || token.text === '[') {
      if (depth === 0) start = token.end;
      depth++;
    } else if (token.text === '}' || token.text === ']') depth--;
  }
  return items;
}

function membersOf(json: string): [key: string, json: string][] {
  const text = json.trim();
  if (!text.startsWith('{')) return refuse('no object');
  const items = itemsOf(text);
  return Array.from({ length: items.length / 2 }, (_, index) => [
    textOf(items[2 * index] ?? ''),
    items[2 * index + 1] ?? '',
  ]);
}

const recover = loadNativeRecover();
const halfOrder = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;

/** r ‖ s ‖ v over the digest, with a low s, by the key. */
function requireSigned(digest: Hex, sig: Uint8Array, publicKey: Uint8Array): void {
  const v = sig[64];
  if (v !== 27 && v !== 28) refuse('seal');
  if (uint(sig.subarray(32, 64)) > halfOrder) refuse('seal');
  const recovered = recover(hexToBytes(digest), sig.subarray(0, 64), v === 27 ? 0 : 1);
  if (!recovered || Buffer.compare(recovered, publicKey) !== 0) refuse('seal');
}

/** An instance's seal under a delegation by the key, on Arbitrum One, that holds now. */
function requireDelegated(state: Uint8Array, sig: Uint8Array, publicKey: Uint8Array): void {
  if (sig.length !== 178 || sig[0] !== 1) refuse('seal');
  const [instanceKey, notBefore, notAfter] = [
    sig.subarray(1, 33),
    uint(sig.subarray(33, 41)),
    uint(sig.subarray(41, 49)),
  ];
  const nowSeconds = BigInt(Math.floor(Date.now() / 1000));
  if (nowSeconds < notBefore || nowSeconds > notAfter) refuse('delegation not of now');
  const delegation = hashTypedData({
    domain: {
      name: 'livepeer-hsm-signer',
      version: '1',
      chainId: 42_161,
      verifyingContract: '0xa8bB618B1520E284046F3dFc448851A1Ff26e41B',
    },
    types: {
      StateDelegation: [
        { name: 'instanceKey', type: 'bytes32' },
        { name: 'notBefore', type: 'uint64' },
        { name: 'notAfter', type: 'uint64' },
      ],
    },
    primaryType: 'StateDelegation',
    message: { instanceKey: toHex(instanceKey), notBefore, notAfter },
  });
  requireSigned(delegation, sig.subarray(49, 114), publicKey);
  const message = Buffer.concat([
    Buffer.from('livepeer-hsm-signer session state\n'),
    sig.subarray(0, 114),
    state,
  ]);
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), instanceKey]);
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  if (!verify(undefined, message, key, sig.subarray(114))) refuse('seal');
}

const sha256Of = (text: string): string => createHash('sha256').update(text).digest('hex');

function readSession({ state: { bytes, sig } }: Fields, publicKey: Uint8Array) {
  if (bytes.length === 0 && sig.length === 0) return undefined;
  if (sig.length === 65) requireSigned(hashMessage({ raw: bytes }), sig, publicKey);
  else requireDelegated(bytes, sig, publicKey);
  const text = Buffer.from(bytes).toString('utf8');
  const members = new Map(membersOf(text));
  const member = (name: string) => members.get(name) ?? refuse(`state without ${name}`);
  const [numerator = '0', denominator = '1'] = textOf(member('Balance')).split('/');
  const lastUpdate = textOf(member('LastUpdate'));
  const [, seconds = '', fraction = ''] = /^(.{19})(?:\.(\d+))?Z$/.exec(lastUpdate) ?? [];
  return {
    pmSessionId: textOf(member('PMSessionID')),
    lastUpdate: BigInt(Date.parse(`${seconds}Z`)) * 1_000_000n + BigInt(fraction.padEnd(9, '0')),
    orchestrator: textOf(member('OrchestratorAddress')),
    app: textOf(member('App')),
    senderNonce: Number(member('SenderNonce')),
    balance: [BigInt(numerator), BigInt(denominator)] as const,
    price: [BigInt(member('InitialPricePerUnit')), BigInt(member('InitialPixelsPerUnit'))] as const,
    type: textOf(member('Type')),
    recipient: members.has('Recipient') ? textOf(member('Recipient')) : undefined,
    manifestIdHash: members.has('ManifestIDHash') ? textOf(member('ManifestIDHash')) : undefined,
  };
}
