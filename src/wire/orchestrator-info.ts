import { create, toBinary } from '@bufbuild/protobuf';
import { RequestError } from '../errors.ts';
import type { Price } from '../pm/billing.ts';
import {
  type Address,
  addressFromBytes,
  bytes32FromBytes,
  bytesToUint,
  fromHex,
  uintToMinimalBytes,
} from '../pm/bytes.ts';
import type { TicketParams } from '../pm/ticket.ts';
import {
  type AuthToken,
  type Capabilities,
  CapabilitiesSchema,
  OrchestratorInfoSchema,
  type PriceInfo,
  PriceInfoSchema,
  SegDataSchema,
  type TicketParams as TicketParamsMessage,
  TicketParamsSchema,
} from './net_pb.ts';
import { readMessage } from './protobuf.ts';
import { RecentlyUsed } from '../recently-used.ts';

/** What a payment needs of `net.OrchestratorInfo`. The caller wrote it; the orchestrator signed none of it. */
export type OrchestratorInfo = {
  /** service URL */
  readonly transcoder: string;
  readonly address: Address;
  readonly ticketParams: TicketParams;
  readonly price: Price;
  /** as received, unknown fields included: the orchestrator's HMAC covers it */
  readonly priceInfo: PriceInfo;
  /** as received, unknown fields included */
  readonly authToken: AuthToken | undefined;
  /** the parameters as tickets are sent with: integers are minimal big-endian */
  readonly sentParams: TicketParamsMessage;
  /** how many bytes of it an answer copies, as far as these may be any number */
  readonly copiedBytes: number;
};

function protobufError(what: string, cause: unknown): string {
  const reason = cause instanceof Error ? cause.message : 'unreadable';
  return `proto: cannot parse ${what}: ${reason}`;
}

function toTicketParams(message: TicketParamsMessage): TicketParams {
  const expiration = message.expirationParams;
  return {
    recipient: addressFromBytes(message.recipient),
    faceValue: bytesToUint(message.faceValue),
    winProb: bytesToUint(message.winProb),
    recipientRandHash: bytes32FromBytes(message.recipientRandHash),
    seed: bytesToUint(message.seed),
    expirationBlock: bytesToUint(message.expirationBlock),
    creationRound: expiration && {
      round: expiration.creationRound,
      blockHash: bytes32FromBytes(expiration.creationRoundBlockHash),
    },
  };
}

/** A session sends the same bytes with each payment, until its ticket parameters are renewed. */
const known = new RecentlyUsed<string, OrchestratorInfo>(500);
/** Several times what orchestrators send; more is decoded each time. */
const maxKnownBytes = 4096;

/**
 * Decodes the request's `orchestrator`, in the protocol's order of checks: present, protobuf, a price of two
 * positive numbers, ticket parameters. The same bytes give the same object for a while, which nobody may change.
 * Throws {@link RequestError}.
 */
export function decodeOrchestratorInfo(bytes: Uint8Array): OrchestratorInfo {
  if (bytes.length > maxKnownBytes) return readOrchestratorInfo(bytes);
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const earlier = known.get(key);
  if (earlier) return earlier;
  // parts of the request's bytes would keep all of them in memory
  const info = readOrchestratorInfo(new Uint8Array(bytes));
  known.set(key, info);
  return info;
}

function readOrchestratorInfo(bytes: Uint8Array): OrchestratorInfo {
  if (bytes.length === 0) throw new RequestError('ORCHESTRATOR_MISSING', 'missing orchestrator');
  let info;
  try {
    info = readMessage(OrchestratorInfoSchema, bytes);
  } catch (error) {
    throw new RequestError('ORCHESTRATOR_MALFORMED', protobufError('net.OrchestratorInfo', error), {
      cause: error,
    });
  }
  const { priceInfo, ticketParams } = info;
  if (!priceInfo || priceInfo.pricePerUnit === 0n || priceInfo.pixelsPerUnit === 0n) {
    throw new RequestError('PRICE_INFO_INVALID', 'missing or zero priceInfo');
  }
  if (priceInfo.pricePerUnit < 0n || priceInfo.pixelsPerUnit < 0n) {
    throw new RequestError('PRICE_INFO_INVALID', 'negative priceInfo');
  }
  if (!ticketParams) {
    throw new RequestError('TICKET_PARAMS_MISSING', 'missing ticketParams in OrchestratorInfo');
  }
  const { transcoder, authToken } = info;
  const params = toTicketParams(ticketParams);
  const sentParams = fromTicketParams(params);
  return {
    transcoder,
    address: addressFromBytes(info.address),
    ticketParams: params,
    price: priceInfo,
    priceInfo,
    authToken,
    sentParams,
    copiedBytes:
      (authToken ? toBinary(SegDataSchema, create(SegDataSchema, { authToken })).length : 0) +
      toBinary(PriceInfoSchema, priceInfo).length +
      sentParams.seed.length +
      sentParams.expirationBlock.length,
  };
}

function fromTicketParams(params: TicketParams): TicketParamsMessage {
  const unpooled = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);
  return create(TicketParamsSchema, {
    recipient: unpooled(fromHex(params.recipient)),
    faceValue: unpooled(uintToMinimalBytes(params.faceValue)),
    winProb: unpooled(uintToMinimalBytes(params.winProb)),
    recipientRandHash: unpooled(fromHex(params.recipientRandHash)),
    seed: unpooled(uintToMinimalBytes(params.seed)),
    expirationBlock: unpooled(uintToMinimalBytes(params.expirationBlock)),
  });
}

/** Far more than there are; each word costs work and bytes in the answer. */
const maxBitstringWords = 64;

/** Decodes the request's `capabilities`; undefined when there are none. Throws `CAPABILITIES_MALFORMED`. */
export function decodeCapabilities(bytes: Uint8Array): Capabilities | undefined {
  if (bytes.length === 0) return undefined;
  let capabilities;
  try {
    capabilities = readMessage(CapabilitiesSchema, bytes);
  } catch (error) {
    throw new RequestError('CAPABILITIES_MALFORMED', protobufError('net.Capabilities', error), {
      cause: error,
    });
  }
  if (capabilities.bitstring.length > maxBitstringWords) {
    throw new RequestError(
      'CAPABILITIES_MALFORMED',
      `capabilities name more than ${64 * maxBitstringWords} bits`,
    );
  }
  return capabilities;
}

/** The capability numbers and model ids that a request's capabilities are constrained to. */
export function listModels(
  capabilities: Capabilities | undefined,
): { capability: number; model: string }[] {
  return Object.entries(capabilities?.constraints?.perCapability ?? {}).flatMap(
    ([capability, { models }]) =>
      Object.keys(models).map((model) => ({ capability: Number(capability), model })),
  );
}
