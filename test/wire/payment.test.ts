import { type MessageInitShape, create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { addressFromBytes, bytes32FromBytes } from '../../src/pm/bytes.ts';
import type { Ticket } from '../../src/pm/ticket.ts';
import {
  AuthTokenSchema,
  CapabilitiesSchema,
  OrchestratorInfoSchema,
  PaymentSchema,
  SegDataSchema,
} from '../../src/wire/net_pb.ts';
import { decodeCapabilities } from '../../src/wire/capabilities.ts';
import { decodeOrchestratorInfo } from '../../src/wire/orchestrator-info.ts';
import { encodePayment, encodeSegmentCredentials } from '../../src/wire/payment.ts';

const [one, two] = [Uint8Array.of(1), Uint8Array.of(2)];
const word = (byte: number) => Uint8Array.from({ length: 32 }, (_, at) => (at === 31 ? byte : 0));
const recipient = addressFromBytes(Uint8Array.of(7));
const addressBytes = (byte: number) => word(byte).slice(12);

describe('a payment', () => {
  it('is what the orchestrator gave, who pays, the round, and each ticket’s nonce and signature', () => {
    const ticketParams = {
      recipient: addressBytes(7),
      faceValue: Uint8Array.of(0, 1, 0),
      winProb: Uint8Array.of(0),
      recipientRandHash: Uint8Array.of(8),
      seed: Uint8Array.of(0, 0, 5),
      expirationBlock: Uint8Array.of(1, 0, 0),
    };
    const priceInfo = { pricePerUnit: 3n, pixelsPerUnit: 2n };
    const info = decodeOrchestratorInfo(
      toBinary(OrchestratorInfoSchema, create(OrchestratorInfoSchema, { ticketParams, priceInfo })),
    );
    const ticket = (senderNonce: number): Ticket => ({
      recipient,
      sender: addressFromBytes(Uint8Array.of(9)),
      faceValue: 256n,
      winProb: 0n,
      senderNonce,
      recipientRandHash: bytes32FromBytes(Uint8Array.of(8)),
      creationRound: { round: 77n, blockHash: bytes32FromBytes(Uint8Array.of(6)) },
    });
    const signed = encodePayment(info, [
      { ticket: ticket(41), signature: one },
      { ticket: ticket(42), signature: two },
    ]);
    expect(fromBinary(PaymentSchema, signed)).toEqual(
      create(PaymentSchema, {
        ticketParams: {
          recipient: addressBytes(7),
          faceValue: Uint8Array.of(1, 0),
          winProb: new Uint8Array(),
          recipientRandHash: word(8),
          seed: Uint8Array.of(5),
          expirationBlock: Uint8Array.of(1, 0, 0),
        },
        sender: addressBytes(9),
        expirationParams: { creationRound: 77n, creationRoundBlockHash: word(6) },
        ticketSenderParams: [
          { senderNonce: 41, sig: one },
          { senderNonce: 42, sig: two },
        ],
        expectedPrice: { pricePerUnit: 3n, pixelsPerUnit: 2n },
      }),
    );
  });
});

describe('segment credentials', () => {
  const authToken = create(AuthTokenSchema, { sessionId: 's', expiration: 9n });
  const nothing = Buffer.from(
    'c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470',
    'hex',
  );
  const write = (given: MessageInitShape<typeof CapabilitiesSchema> = {}) => {
    const capabilities = decodeCapabilities(
      toBinary(CapabilitiesSchema, create(CapabilitiesSchema, given)),
    );
    const written = encodeSegmentCredentials('é', Uint8Array.of(1, 2), authToken, capabilities);
    return fromBinary(SegDataSchema, written);
  };
  const usual = {
    manifestId: Uint8Array.of(0xc3, 0xa9),
    hash: Uint8Array.from(nothing),
    profiles: new TextEncoder().encode('invalid'),
    sig: Uint8Array.of(1, 2),
    authToken,
  };

  it('are of the empty segment, with the orchestrator’s token', () => {
    expect(write()).toEqual(create(SegDataSchema, usual));
  });

  it('have capabilities as go-livepeer writes them: constraints always, capacities from the bits', () => {
    const written = write({
      bitstring: [1n | (1n << 63n), 2n],
      mandatories: [4n],
    });
    expect(written).toEqual(
      create(SegDataSchema, {
        ...usual,
        capabilities: {
          bitstring: [1n | (1n << 63n), 2n],
          mandatories: [4n],
          capacities: { 0: 1, 63: 1, 65: 1 },
          constraints: { minVersion: '', perCapability: {} },
        },
      }),
    );
  });

  it('have the capacities that are given, and of each model all but what is in use', () => {
    const model = { warm: true, capacity: 3, runnerVersion: '1.2' };
    const constraints = (rest: object) => ({
      minVersion: '0.8',
      perCapability: {
        27: { models: { a: { ...model, ...rest }, b: { warm: false } } },
        35: { models: {} },
      },
    });
    const given = {
      bitstring: [5n],
      capacities: { 27: 9 },
      version: '0.9',
    };
    const written = write({ ...given, constraints: constraints({ capacityInUse: 2 }) });
    expect(written.capabilities).toEqual(
      create(CapabilitiesSchema, { ...given, constraints: constraints({}) }),
    );
  });
});
