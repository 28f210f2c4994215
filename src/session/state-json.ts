import { type Price, parsePaymentType } from '../pm/billing.ts';
import { addressFromBytes, parseAddress } from '../pm/bytes.ts';
import { formatRational, parseRational, zero } from '../pm/rational.ts';
import type { CarriedCredentials } from '../pm/segment-credentials.ts';
import type { SessionState } from '../pm/session-state.ts';
import {
  FieldTypeError,
  type Mutable,
  createStructReader,
  maxInt64,
  maxUint32,
  maxUint64,
  minInt64,
  readBytes,
  readInteger,
  readObject,
  readString,
} from '../wire/go-struct.ts';
import { encodeBase64 } from '../wire/base64.ts';
import { formatGoTime, parseGoTime } from '../wire/go-time.ts';
import { type JsonValue, formatGoJsonString, parseJson } from '../wire/json.ts';

/** The members of go-livepeer's `RemotePaymentState`, in its order and as it writes them; the auth webhook is sent the same. */
export function encodeUpstreamState(state: SessionState): string {
  return `{${upstreamMembers(state)}}`;
}

/** The same, followed by our own members; go-livepeer ignores members that it does not know. */
export function encodeExtendedState(state: SessionState): string {
  const {
    recipient,
    credentialHash,
    principal,
    startedAt,
    spentEv,
    weiPerUsd,
    segmentCredentials,
  } = state;
  let members = upstreamMembers(state);
  if (recipient !== undefined) members += `,"Recipient":"${recipient}"`;
  if (credentialHash !== undefined) {
    members += `,"CredentialHash":${formatGoJsonString(credentialHash)}`;
  }
  if (principal !== undefined) members += `,"Principal":${formatGoJsonString(principal)}`;
  if (startedAt !== undefined) members += `,"StartedAt":${startedAt.toString()}`;
  if (spentEv !== undefined) members += `,"SpentEV":"${spentEv.toString()}"`;
  if (weiPerUsd !== undefined) members += `,"WeiPerUSD":"${formatRational(weiPerUsd)}"`;
  if (segmentCredentials) {
    const { manifestIdHash, signature } = segmentCredentials;
    members += `,"ManifestIDHash":${formatGoJsonString(manifestIdHash)}`;
    members += `,"SegCredsSig":"${encodeBase64(signature)}"`;
  }
  return `{${members}}`;
}

function upstreamMembers(state: SessionState): string {
  const { pricePerUnit, pixelsPerUnit } = state.initialPrice;
  return (
    `"StateID":${formatGoJsonString(state.stateId)},` +
    `"PMSessionID":${formatGoJsonString(state.pmSessionId)},` +
    `"LastUpdate":"${formatGoTime(state.lastUpdate)}",` +
    `"OrchestratorAddress":"${state.orchestratorAddress}",` +
    `"App":${formatGoJsonString(state.app)},` +
    `"AuthExpiry":${state.authExpiry.toString()},` +
    `"SenderNonce":${state.senderNonce},` +
    `"Balance":"${formatRational(state.balance)}",` +
    `"InitialPricePerUnit":${pricePerUnit.toString()},` +
    `"InitialPixelsPerUnit":${pixelsPerUnit.toString()},` +
    `"Type":"${state.type}",` +
    `"SequenceNumber":${state.sequenceNumber.toString()},` +
    `"AuthID":${formatGoJsonString(state.authId)}`
  );
}

/**
 * Reads state bytes whose seal has been verified, ours or go-livepeer's. Key case and unknown members don't matter. As in
 * go-livepeer, a balance that is absent, empty or unreadable is 0; credentials whose signature does not have 65 bytes count as
 * absent. Throws `FieldTypeError` or `JsonSyntaxError`.
 */
export function decodeState(bytes: Uint8Array): SessionState {
  const value = parseJson(bytes);
  if (value.kind === 'null') throw new FieldTypeError('state', 'an object');
  const state: MutableState = {
    stateId: '',
    pmSessionId: '',
    lastUpdate: undefined,
    orchestratorAddress: zeroAddress,
    app: '',
    authExpiry: 0n,
    senderNonce: 0,
    balance: zero,
    initialPrice: { pricePerUnit: 0n, pixelsPerUnit: 0n },
    type: '',
    sequenceNumber: 0n,
    authId: '',
    recipient: undefined,
    credentialHash: undefined,
    principal: undefined,
    startedAt: undefined,
    spentEv: undefined,
    weiPerUsd: undefined,
    segmentCredentials: undefined,
  };
  const carried = { manifestIdHash: '', signature: new Uint8Array() };
  readMembers({ state, carried }, readObject(value, 'state'));
  if (carried.signature.length === signatureBytes) state.segmentCredentials = carried;
  return state;
}

/** r ‖ s ‖ v */
const signatureBytes = 65;

const zeroAddress = addressFromBytes(new Uint8Array());

type MutableState = Mutable<Omit<SessionState, 'initialPrice'>> & {
  readonly initialPrice: Mutable<Price>;
};

const int64 = (json: JsonValue, field: string) => readInteger(json, field, minInt64, maxInt64);

const readMembers = createStructReader<{
  readonly state: MutableState;
  readonly carried: Mutable<CarriedCredentials>;
}>({
  StateID: ({ state }, json, field) => (state.stateId = readString(json, field)),
  PMSessionID: ({ state }, json, field) => (state.pmSessionId = readString(json, field)),
  LastUpdate: ({ state }, json, field) => (state.lastUpdate = readTime(json, field)),
  OrchestratorAddress: ({ state }, json, field) =>
    (state.orchestratorAddress = readAddress(json, field)),
  App: ({ state }, json, field) => (state.app = readString(json, field)),
  AuthExpiry: ({ state }, json, field) => (state.authExpiry = int64(json, field)),
  SenderNonce: ({ state }, json, field) =>
    (state.senderNonce = Number(readInteger(json, field, 0n, maxUint32))),
  Balance: ({ state }, json, field) =>
    (state.balance = parseRational(readString(json, field)) ?? zero),
  InitialPricePerUnit: ({ state }, json, field) =>
    (state.initialPrice.pricePerUnit = int64(json, field)),
  InitialPixelsPerUnit: ({ state }, json, field) =>
    (state.initialPrice.pixelsPerUnit = int64(json, field)),
  Type: ({ state }, json, field) => (state.type = readType(json, field)),
  SequenceNumber: ({ state }, json, field) =>
    (state.sequenceNumber = readInteger(json, field, 0n, maxUint64)),
  AuthID: ({ state }, json, field) => (state.authId = readString(json, field)),
  Recipient: ({ state }, json, field) => (state.recipient = readAddress(json, field)),
  CredentialHash: ({ state }, json, field) => (state.credentialHash = readString(json, field)),
  Principal: ({ state }, json, field) => (state.principal = readString(json, field)),
  StartedAt: ({ state }, json, field) => (state.startedAt = int64(json, field)),
  SpentEV: ({ state }, json, field) => (state.spentEv = readWei(json, field)),
  WeiPerUSD: ({ state }, json, field) => (state.weiPerUsd = readRate(json, field)),
  ManifestIDHash: ({ carried }, json, field) => (carried.manifestIdHash = readString(json, field)),
  SegCredsSig: ({ carried }, json, field) => (carried.signature = readBytes(json, field)),
});

function readAddress(json: JsonValue, field: string) {
  const address = parseAddress(readString(json, field));
  if (!address) throw new FieldTypeError(field, '0x and 40 hex digits');
  return address;
}

function readWei(json: JsonValue, field: string): bigint {
  const text = readString(json, field);
  if (!/^\d{1,78}$/.test(text)) throw new FieldTypeError(field, 'whole wei');
  return BigInt(text);
}

function readRate(json: JsonValue, field: string) {
  const rate = parseRational(readString(json, field));
  if (!rate || rate.numerator <= 0n) throw new FieldTypeError(field, 'a positive number');
  return rate;
}

function readTime(json: JsonValue, field: string): bigint | undefined {
  const time = parseGoTime(readString(json, field));
  if (time === undefined) throw new FieldTypeError(field, 'an RFC 3339 time');
  return time === 'zero' ? undefined : time;
}

function readType(json: JsonValue, field: string) {
  const type = parsePaymentType(readString(json, field));
  if (type === undefined) throw new FieldTypeError(field, 'a payment type');
  return type;
}
