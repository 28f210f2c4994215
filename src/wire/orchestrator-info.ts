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
import { decodeOnce } from './decode-once.ts';
import {
  type AuthToken,
  OrchestratorInfoSchema,
  type PriceInfo,
  PriceInfoSchema,
  SegDataSchema,
  type TicketParams as TicketParamsMessage,
  TicketParamsSchema,
} from './net_pb.ts';
import { describeUnreadable, readMessage } from './protobuf.ts';

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
  /** the parameters as they are sent along with tickets: integers are minimal big-endian */
  readonly sentParams: TicketParamsMessage;
  /** how many bytes of it an answer copies, counting only the fields of unlimited length */
  readonly copiedBytes: number;
};

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
 * Decodes the request's `orchestrator`. The checks are in the protocol's order: present, protobuf, a price of two positive
 * numbers, ticket parameters. The same object may be given for the same bytes, so nobody may change it. Throws {@link
 * RequestError}.
 */
export const decodeOrchestratorInfo = decodeOnce(readOrchestratorInfo);

function readOrchestratorInfo(bytes: Uint8Array): OrchestratorInfo {
  if (bytes.length === 0) throw new RequestError('ORCHESTRATOR_MISSING', 'missing orchestrator');
  let info;
  try {
    info = readMessage(OrchestratorInfoSchema, bytes);
  } catch (error) {
    const message = describeUnreadable('net.OrchestratorInfo', error);
    throw new RequestError('ORCHESTRATOR_MALFORMED', message, { cause: error });
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
