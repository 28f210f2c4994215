import { create, toBinary } from '@bufbuild/protobuf';
import { fromHex, utf8ToBytes } from '../pm/bytes.ts';
import { emptySegmentHash } from '../pm/segment-credentials.ts';
import type { Ticket } from '../pm/ticket.ts';
import type { RequestedCapabilities } from './capabilities.ts';
import { type AuthToken, PaymentSchema, SegDataSchema } from './net_pb.ts';
import type { OrchestratorInfo } from './orchestrator-info.ts';

/** A ticket with its 65-byte signature. */
export type SignedTicket = { readonly ticket: Ticket; readonly signature: Uint8Array };

/**
 * Protobuf `net.Payment` for tickets of one orchestrator, in nonce order; at least one. Integers are minimal
 * big-endian and the price is the one quoted with the parameters, since the orchestrator's HMAC covers both.
 */
export function encodePayment(
  { sentParams, priceInfo }: OrchestratorInfo,
  signed: readonly [SignedTicket, ...SignedTicket[]],
): Uint8Array {
  const { sender, creationRound } = signed[0].ticket;
  const payment = create(PaymentSchema, {
    ticketParams: sentParams,
    sender: fromHex(sender),
    expirationParams: {
      creationRound: creationRound.round,
      creationRoundBlockHash: fromHex(creationRound.blockHash),
    },
    ticketSenderParams: signed.map(({ ticket, signature }) => ({
      senderNonce: ticket.senderNonce,
      sig: signature,
    })),
    expectedPrice: priceInfo,
  });
  return toBinary(PaymentSchema, payment);
}

const noProfiles = utf8ToBytes('invalid');

/**
 * Protobuf `net.SegData` for the empty segment that payment credentials describe. Capabilities, duration and auth
 * token are not covered by the signature.
 */
export function encodeSegmentCredentials(
  manifestId: string,
  signature: Uint8Array,
  authToken: AuthToken,
  capabilities: RequestedCapabilities | undefined,
): Uint8Array {
  const credentials = create(SegDataSchema, {
    manifestId: utf8ToBytes(manifestId),
    hash: emptySegmentHash,
    profiles: noProfiles,
    sig: signature,
    authToken,
  });
  if (capabilities) credentials.capabilities = capabilities.sent;
  return toBinary(SegDataSchema, credentials);
}
