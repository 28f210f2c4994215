import {
  create,
  type DescMessage,
  fromBinary,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { PrivateKeyAccount } from 'viem';
import {
  type OrchestratorInfo,
  type OrchestratorRequest,
  OrchestratorRequestSchema,
  type Payment,
  PaymentSchema,
  type SegData,
  SegDataSchema,
} from '../../src/wire/net_pb.ts';
import { fromHex, keccak256, toFixedBytes, toHex, toInteger } from './bytes.ts';
import { orchestratorInfoMessage, segmentMessage } from './signatures.ts';
import { ticketHash } from './ticket.ts';

/**
 * A gateway's wallet that pays with a viem account: what a remote signer would return, made without the
 * product's code. Tests change the messages before they encode them.
 */
export class Payer {
  readonly #account: PrivateKeyAccount;

  constructor(account: PrivateKeyAccount) {
    this.#account = account;
  }

  /** Hex, checksummed. */
  get address(): string {
    return this.#account.address;
  }

  /** The personal-message signature over `message`, 65 bytes. */
  async sign(message: Uint8Array): Promise<Uint8Array> {
    return fromHex(await this.#account.signMessage({ message: { raw: toHex(message) } }));
  }

  async makeInfoRequest(): Promise<OrchestratorRequest> {
    const address = fromHex(this.#account.address);
    const sig = await this.sign(orchestratorInfoMessage(address));
    return create(OrchestratorRequestSchema, { address, sig });
  }

  /** A payment with one signed ticket for each nonce, at the terms of `info`. */
  async makePayment(info: OrchestratorInfo, nonces: readonly number[]): Promise<Payment> {
    const params = info.ticketParams;
    if (params?.expirationParams === undefined) throw new Error('info has no ticket params');
    const { expirationParams, ...sent } = params;
    const sender = fromHex(this.#account.address);
    const signTicket = (senderNonce: number): Promise<Uint8Array> =>
      this.sign(
        ticketHash({
          recipient: params.recipient,
          sender,
          faceValue: toInteger(params.faceValue),
          winProb: toInteger(params.winProb),
          senderNonce,
          recipientRandHash: params.recipientRandHash,
          creation: {
            round: expirationParams.creationRound,
            blockHash: toFixedBytes(expirationParams.creationRoundBlockHash, 32),
          },
        }),
      );
    return create(PaymentSchema, {
      ticketParams: sent,
      sender,
      expirationParams,
      ticketSenderParams: await Promise.all(
        nonces.map(async (senderNonce) => ({ senderNonce, sig: await signTicket(senderNonce) })),
      ),
      ...(info.priceInfo && { expectedPrice: info.priceInfo }),
    });
  }

  /** Credentials of the empty segment that go with a payment. */
  async makeSegment(info: OrchestratorInfo, manifestId: string): Promise<SegData> {
    const segment = {
      manifestId: Buffer.from(manifestId, 'utf8'),
      seq: 0n,
      hash: keccak256(),
      profiles: '',
    };
    return create(SegDataSchema, {
      manifestId: segment.manifestId,
      hash: segment.hash,
      profiles: Buffer.from('invalid', 'ascii'),
      sig: await this.sign(segmentMessage(segment)),
      ...(info.authToken && { authToken: info.authToken }),
    });
  }
}

/** A message as the text of a `Livepeer-Payment` or `Livepeer-Segment` header. */
export function toHeader<Schema extends DescMessage>(
  schema: Schema,
  message: MessageShape<Schema>,
): string {
  return Buffer.from(toBinary(schema, message)).toString('base64');
}

/** A deep copy that can be changed without touching `message`. */
export function copyOf<Schema extends DescMessage>(
  schema: Schema,
  message: MessageShape<Schema>,
): MessageShape<Schema> {
  return fromBinary(schema, toBinary(schema, message));
}
