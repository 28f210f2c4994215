import { RequestError } from '../errors.ts';
import type { Price } from '../pm/billing.ts';
import { type Address, addressFromBytes, bytes32FromBytes, bytesToUint } from '../pm/bytes.ts';
import type { TicketParams } from '../pm/ticket.ts';
import {
  type AuthToken,
  type Capabilities,
  CapabilitiesSchema,
  OrchestratorInfoSchema,
  type PriceInfo,
  type TicketParams as TicketParamsMessage,
} from './net_pb.ts';
import { readMessage } from './protobuf.ts';

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

/**
 * Decodes the request's `orchestrator`, in the protocol's order of checks: present, protobuf, a price of two
 * positive numbers, ticket parameters. Throws {@link RequestError}.
 */
export function decodeOrchestratorInfo(bytes: Uint8Array): OrchestratorInfo {
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
  return {
    transcoder: info.transcoder,
    address: addressFromBytes(info.address),
    ticketParams: toTicketParams(ticketParams),
    price: priceInfo,
    priceInfo,
    authToken: info.authToken,
  };
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
