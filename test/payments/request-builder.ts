import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { privateKeyToAccount } from 'viem/accounts';
import { type Hex, fromHex, maxUint256, uintToMinimalBytes } from '../../src/pm/bytes.ts';
import {
  type AuthToken,
  type OrchestratorInfo,
  OrchestratorInfoSchema,
  type PriceInfo,
  type TicketParams,
} from '../../src/wire/net_pb.ts';
import { vectors } from '../vectors/vectors.ts';

/** What a test writes as JSON: bytes become base64, bigints keep every digit. */
export type Json =
  null | boolean | number | bigint | string | Uint8Array | readonly Json[] | Members;
export type Members = { readonly [key: string]: Json };

/** How a request differs from the usual one, the second payment of an `lv2v` session. `null` leaves a message out. */
export type Changes = {
  /** members of the request itself, in place of the usual ones */
  readonly body?: Members;
  readonly info?: Partial<Pick<OrchestratorInfo, 'transcoder' | 'address'>>;
  readonly priceInfo?: Partial<PriceInfo> | null;
  readonly ticketParams?: Partial<TicketParams> | null;
  readonly authToken?: Partial<AuthToken> | null;
  /** members of the session state, in place of the usual ones; null for a first payment */
  readonly state?: Members | null;
  /** in place of the state's JSON */
  readonly stateBytes?: Uint8Array;
  /** the private key that seals the state */
  readonly sealWith?: Hex;
};

/** `time` in RFC 3339 with up to 9 fraction digits, as Unix nanoseconds. */
export function nanoseconds(time: string): bigint {
  const [seconds = '', fraction = ''] = time.replace(/Z$/, '').split('.');
  return (
    BigInt(Date.parse(`${seconds}Z`)) * 1_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, '0'))
  );
}

/** When the usual request is made: 5 s after the session's last payment. */
export const usualNow = nanoseconds('2026-04-07T20:00:05Z');

/** When the usual auth token ends, in Unix seconds. */
export const usualTokenExpiration = 1_775_593_800n;

/** The last L1 block the signer has seen. */
export const lastL1Block = BigInt(vectors.endToEnd.chain.lastSeenL1Block);

export const usualManifestId = 'a1b2c3d4';
export const usualUrl = 'https://orch.example.com:8935';

const usualOrchestrator = fromHex(
  vectors.protobuf.find(({ name }) => name === 'full live example')?.hex ?? '0x',
);

/** The usual state, with go-livepeer's own members. */
export const usualState: Members = {
  StateID: 'a1b2c3d4',
  PMSessionID: '0x428d52c28a74e709ec01ca48af24e7c1902853e051c7100adeb30ef1e8b7b73b',
  LastUpdate: '2026-04-07T20:00:00Z',
  OrchestratorAddress: '0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc',
  App: '',
  AuthExpiry: 0,
  SenderNonce: 2,
  Balance: '0',
  InitialPricePerUnit: 1200,
  InitialPixelsPerUnit: 1,
  Type: 'lv2v',
  SequenceNumber: 0,
  AuthID: '',
};

export function uint(value: bigint): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(uintToMinimalBytes(value));
}

/** Ticket parameters of exactly this expected value: a third of the draws win. */
export function ticketsWorth(evWei: bigint): Pick<TicketParams, 'faceValue' | 'winProb'> {
  return { faceValue: uint(3n * evWei), winProb: uint(maxUint256 / 3n) };
}

export function toJson(value: Json): string {
  if (value instanceof Uint8Array) return `"${Buffer.from(value).toString('base64')}"`;
  if (Array.isArray(value)) return `[${(value as readonly Json[]).map(toJson).join(',')}]`;
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value as Members);
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${toJson(member)}`).join(',')}}`;
}

function alter<Message extends object>(
  message: Message | undefined,
  changes: Partial<Message> | null | undefined,
): Message | undefined {
  return message && changes !== null ? Object.assign(message, changes) : undefined;
}

/** Protobuf `net.OrchestratorInfo`. */
export function buildOrchestrator(changes: Changes = {}): Uint8Array {
  const info = fromBinary(OrchestratorInfoSchema, usualOrchestrator);
  Object.assign(info, changes.info);
  info.priceInfo = alter(info.priceInfo, changes.priceInfo);
  info.ticketParams = alter(info.ticketParams, changes.ticketParams);
  info.authToken = alter(info.authToken, changes.authToken);
  return toBinary(OrchestratorInfoSchema, info);
}

/** go-livepeer's seal: 65 bytes over the personal message. */
export async function seal(state: Uint8Array, privateKey: Hex): Promise<Uint8Array> {
  const account = privateKeyToAccount(privateKey);
  return fromHex(await account.signMessage({ message: { raw: state } }));
}

/** The body of `POST /generate-live-payment`. */
export async function buildRequest(changes: Changes = {}): Promise<string> {
  const body = {
    orchestrator: buildOrchestrator(changes),
    ManifestID: usualManifestId,
    type: 'lv2v',
  };
  if (changes.state === null) return toJson({ ...body, ...changes.body });
  const state =
    changes.stateBytes ?? new TextEncoder().encode(toJson({ ...usualState, ...changes.state }));
  const sig = await seal(state, changes.sealWith ?? vectors.key.privateKey);
  return toJson({ ...body, state: { State: state, Sig: sig }, ...changes.body });
}

function isMergeable(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !(value instanceof Uint8Array);
}

/** Both sets of changes; where they contradict each other, `first` holds. */
export function mergeChanges(first: Changes, second: Changes): Changes {
  const merged: Record<string, unknown> = { ...second };
  for (const [key, value] of Object.entries(first)) {
    const other = merged[key];
    merged[key] =
      isMergeable(value) && isMergeable(other) ? Object.assign({}, other, value) : value;
  }
  return merged;
}
