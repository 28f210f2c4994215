import { concat, hashMessage, keccak256, toHex } from 'viem';
import { addressFromBytes, bytes32FromBytes, bytesToUint } from '../../src/pm/bytes.ts';
import { PaymentSchema, SegDataSchema } from '../../src/wire/net_pb.ts';
import { readMessage } from '../../src/wire/protobuf.ts';
import { viemTicketHash } from './viem-ticket-hash.ts';

/** The body of a 200. */
export type Answer = { payment: string; segCreds: string; state: { State: string; Sig: string } };

/** Every digest that an answer's signatures are over, computed by viem from the answer alone. */
export function digestsOfAnswer(text: string): {
  tickets: string[];
  credentials: string;
  /** r ‖ s ‖ v over `credentials` */
  credentialsSig: Uint8Array;
  state: string;
} {
  const answer = JSON.parse(text) as Answer;
  // an answer repeats what its request brought along, in forms that Go takes and the library does not
  const payment = readMessage(PaymentSchema, Buffer.from(answer.payment, 'base64'));
  const credentials = readMessage(SegDataSchema, Buffer.from(answer.segCreds, 'base64'));
  const { ticketParams: params, expirationParams: expiration } = payment;
  if (!params || !expiration) throw new Error('the payment has no parameters');
  const preimage = concat([toHex(credentials.manifestId), `0x${'0'.repeat(64)}`, keccak256('0x')]);
  return {
    tickets: payment.ticketSenderParams.map(({ senderNonce }) => {
      const hash = viemTicketHash({
        recipient: addressFromBytes(params.recipient),
        sender: addressFromBytes(payment.sender),
        faceValue: bytesToUint(params.faceValue),
        winProb: bytesToUint(params.winProb),
        senderNonce,
        recipientRandHash: bytes32FromBytes(params.recipientRandHash),
        creationRound: {
          round: expiration.creationRound,
          blockHash: bytes32FromBytes(expiration.creationRoundBlockHash),
        },
      });
      return hashMessage({ raw: hash });
    }),
    credentials: hashMessage({ raw: keccak256(preimage) }),
    credentialsSig: credentials.sig,
    state: hashMessage({ raw: Buffer.from(answer.state.State, 'base64') }),
  };
}
