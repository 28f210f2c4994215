import { fromBinary } from '@bufbuild/protobuf';
import { type Payment, PaymentSchema, type SegData, SegDataSchema } from '../../src/wire/net_pb.ts';
import { buildRequest, ticketsWorth } from '../payments/request-builder.ts';
import { fromHex, toFixedBytes, toHex, toInteger } from '../sandbox-orchestrator/bytes.ts';
import { findSignatureFault, segmentMessage } from '../sandbox-orchestrator/signatures.ts';
import { ticketHash } from '../sandbox-orchestrator/ticket.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('sessions under chaos');

/** Each request costs one ticket: it is billed as one unit of this price, and a ticket is worth as much. */
const priceWei = 1_000_000_000_000n;

/** The members of a payment's answer, as base64. */
type Answer = {
  readonly payment: string;
  readonly segCreds: string;
  readonly state: { readonly State: string; readonly Sig: string };
};

/** One gateway session: tickets for one orchestrator's parameters. */
export class Session {
  readonly #recipientRandHash = random.bytes(32);
  readonly #manifestId = random.hex(4);
  #state: Answer['state'] | undefined;
  #lastNonce = 0;

  /** The body of the request for its next payment. */
  buildRequest(): Promise<string> {
    return buildRequest({
      state: null,
      ticketParams: {
        recipientRandHash: this.#recipientRandHash,
        ...ticketsWorth(priceWei),
      },
      priceInfo: { pricePerUnit: priceWei, pixelsPerUnit: 1n },
      authToken: { expiration: BigInt(Math.floor(Date.now() / 1000)) + 3600n },
      body: {
        type: 'fixed',
        ManifestID: this.#manifestId,
        ...(this.#state !== undefined && { state: this.#state }),
      },
    });
  }

  /** Takes the answer to the request built last; the next payment goes on from there. */
  take(text: string): PaidTicket {
    const answer = JSON.parse(text) as Answer;
    this.#state = answer.state;
    const nonceAbove = this.#lastNonce;
    const { ticketSenderParams } = fromBinary(PaymentSchema, Buffer.from(answer.payment, 'base64'));
    this.#lastNonce = ticketSenderParams[0]?.senderNonce ?? nonceAbove;
    return {
      recipientRandHash: this.#recipientRandHash,
      manifestId: this.#manifestId,
      nonceAbove,
      payment: answer.payment,
      segCreds: answer.segCreds,
    };
  }
}

/** What was asked for, beside what was answered in base64. */
export type PaidTicket = {
  readonly recipientRandHash: Uint8Array;
  readonly manifestId: string;
  /** The nonce of the session's ticket before; those of payments that failed are not used again. */
  readonly nonceAbove: number;
  readonly payment: string;
  readonly segCreds: string;
};

/**
 * What an orchestrator would find wrong with the answers to payments from `address`, and every ticket of which more than one
 * signature was given out.
 */
export function findFaults(address: string, paid: readonly PaidTicket[]): string[] {
  const signatureOf = new Map<string, string>();
  return paid.flatMap((expected) => {
    const payment = fromBinary(PaymentSchema, Buffer.from(expected.payment, 'base64'));
    const credentials = fromBinary(SegDataSchema, Buffer.from(expected.segCreds, 'base64'));
    const sender = fromHex(address);
    return [
      ...findTicketFaults(sender, payment, expected, signatureOf),
      ...findCredentialsFaults(sender, credentials, expected),
    ];
  });
}

function findTicketFaults(
  sender: Uint8Array,
  { ticketParams, ticketSenderParams, expirationParams, sender: named }: Payment,
  { recipientRandHash, nonceAbove }: PaidTicket,
  signatureOf: Map<string, string>,
): string[] {
  const [ticket] = ticketSenderParams;
  if (!ticketParams || !expirationParams || !ticket) return ['the payment is not complete'];
  const hash = ticketHash({
    recipient: ticketParams.recipient,
    sender,
    faceValue: toInteger(ticketParams.faceValue),
    winProb: toInteger(ticketParams.winProb),
    senderNonce: ticket.senderNonce,
    recipientRandHash,
    creation: {
      round: expirationParams.creationRound,
      blockHash: toFixedBytes(expirationParams.creationRoundBlockHash, 32),
    },
  });
  const signature = toHex(ticket.sig);
  const earlier = signatureOf.get(toHex(hash)) ?? signature;
  signatureOf.set(toHex(hash), signature);
  const fault = findSignatureFault(sender, hash, ticket.sig);
  return [
    ...(fault === undefined ? [] : [`ticket: ${fault}`]),
    ...(earlier === signature ? [] : ['two signatures were given out for one ticket']),
    ...(ticketSenderParams.length === 1 ? [] : [`${ticketSenderParams.length} tickets, not one`]),
    ...(ticket.senderNonce > nonceAbove
      ? []
      : [`nonce ${ticket.senderNonce}, not above ${nonceAbove}`]),
    ...(toInteger(named) === toInteger(sender) ? [] : [`paid from ${toHex(named)}`]),
  ];
}

function findCredentialsFaults(
  sender: Uint8Array,
  { manifestId, seq, hash, sig }: SegData,
  expected: PaidTicket,
): string[] {
  const message = segmentMessage({ manifestId, seq, hash, profiles: '' });
  const fault = findSignatureFault(sender, message, sig);
  const named = Buffer.from(manifestId).toString();
  return [
    ...(fault === undefined ? [] : [`segment credentials: ${fault}`]),
    ...(named === expected.manifestId ? [] : [`manifest ${named}, not ${expected.manifestId}`]),
  ];
}
