import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import {
  AuthTokenSchema,
  OrchestratorInfoSchema,
  PriceInfoSchema,
  TicketParamsSchema,
} from '../../src/wire/net_pb.ts';
import { decodeOrchestratorInfo } from '../../src/wire/orchestrator-info.ts';

const encode = (
  priceInfo?: { pricePerUnit: bigint; pixelsPerUnit: bigint },
  ticketParams = {},
  authToken?: { sessionId: string },
) =>
  toBinary(
    OrchestratorInfoSchema,
    create(OrchestratorInfoSchema, {
      ...(priceInfo && { priceInfo }),
      ticketParams,
      ...(authToken && { authToken }),
    }),
  );

describe('an orchestrator’s price', () => {
  it('is read as it is', () => {
    const price = { pricePerUnit: 3n, pixelsPerUnit: 2n };
    expect(decodeOrchestratorInfo(encode(price)).price).toMatchObject(price);
  });

  it.each([
    undefined,
    { pricePerUnit: 0n, pixelsPerUnit: 1n },
    { pricePerUnit: 1n, pixelsPerUnit: 0n },
    { pricePerUnit: -1n, pixelsPerUnit: 1n },
    { pricePerUnit: 1n, pixelsPerUnit: -1n },
  ])('is refused when it is %o', (price) => {
    expect(() => decodeOrchestratorInfo(encode(price))).toThrow(
      expect.objectContaining({ code: 'PRICE_INFO_INVALID' }),
    );
  });
});

describe('what an orchestrator sends', () => {
  it('has each member in its place, integers of any length, and what is not there as none', () => {
    const priceInfo = { pricePerUnit: 3n, pixelsPerUnit: 2n };
    const ticketParams = {
      recipient: Uint8Array.of(1),
      faceValue: Uint8Array.of(1, 0),
      winProb: Uint8Array.of(2),
      recipientRandHash: Uint8Array.of(3),
      seed: Uint8Array.of(0, 4),
      expirationBlock: Uint8Array.of(5),
    };
    const decode = (more: object) =>
      decodeOrchestratorInfo(
        toBinary(
          OrchestratorInfoSchema,
          create(OrchestratorInfoSchema, { priceInfo, ticketParams, ...more }),
        ),
      );
    const digits = (size: number, end: string) => `0x${end.padStart(2 * size, '0')}`;
    const least = {
      transcoder: '',
      address: digits(20, ''),
      ticketParams: {
        recipient: digits(20, '01'),
        faceValue: 256n,
        winProb: 2n,
        recipientRandHash: digits(32, '03'),
        seed: 4n,
        expirationBlock: 5n,
        creationRound: undefined,
      },
      price: create(PriceInfoSchema, priceInfo),
      priceInfo: create(PriceInfoSchema, priceInfo),
      authToken: undefined,
      sentParams: create(TicketParamsSchema, {
        recipient: Uint8Array.from({ length: 20 }, (_, at) => (at === 19 ? 1 : 0)),
        faceValue: Uint8Array.of(1, 0),
        winProb: Uint8Array.of(2),
        recipientRandHash: Uint8Array.from({ length: 32 }, (_, at) => (at === 31 ? 3 : 0)),
        seed: Uint8Array.of(4),
        expirationBlock: Uint8Array.of(5),
      }),
      // a price of two numbers, the seed and the block
      copiedBytes: 4 + 1 + 1,
    };
    expect(decode({})).toEqual(least);
    const expirationParams = { creationRound: 6n, creationRoundBlockHash: Uint8Array.of(7) };
    const authToken = { sessionId: 's', token: Uint8Array.of(8), expiration: 9n };
    expect(
      decode({
        transcoder: 'https://127.0.0.1:1',
        address: Uint8Array.of(10),
        ticketParams: { ...ticketParams, expirationParams },
        authToken,
      }),
    ).toEqual({
      ...least,
      transcoder: 'https://127.0.0.1:1',
      address: digits(20, '0a'),
      ticketParams: {
        ...least.ticketParams,
        creationRound: { round: 6n, blockHash: digits(32, '07') },
      },
      authToken: create(AuthTokenSchema, authToken),
      // a token of 8 bytes behind its tag and its length
      copiedBytes: least.copiedBytes + 2 + 8,
    });
  });

  const price = { pricePerUnit: 3n, pixelsPerUnit: 2n };
  const code = (expected: string) => expect.objectContaining({ code: expected }) as Error;

  it('is refused by what is wrong with it', () => {
    const decode = (bytes: Uint8Array) => () => decodeOrchestratorInfo(bytes);
    expect(decode(new Uint8Array())).toThrow(code('ORCHESTRATOR_MISSING'));
    expect(decode(Uint8Array.of(0x0a, 5))).toThrow(
      expect.objectContaining({
        code: 'ORCHESTRATOR_MALFORMED',
        cause: expect.any(Error) as Error,
      }) as Error,
    );
    expect(decode(Uint8Array.of(0x0a, 5))).toThrow(
      'proto: cannot parse net.OrchestratorInfo: a length goes beyond the end',
    );
    const priceOnly = create(OrchestratorInfoSchema, { priceInfo: price });
    expect(decode(toBinary(OrchestratorInfoSchema, priceOnly))).toThrow(
      code('TICKET_PARAMS_MISSING'),
    );
  });

  it('is counted with each part that an answer copies', () => {
    const count = (ticketParams: object, sessionId?: string) => {
      const authToken = sessionId === undefined ? undefined : { sessionId };
      return decodeOrchestratorInfo(encode(price, ticketParams, authToken)).copiedBytes;
    };
    // a price of two numbers
    const least = count({});
    expect(least).toBe(4);
    expect(count({ seed: Uint8Array.of(1, 2, 3) })).toBe(least + 3);
    expect(count({ seed: Uint8Array.of(0, 2, 3) })).toBe(least + 2);
    expect(count({ expirationBlock: Uint8Array.of(1, 2) })).toBe(least + 2);
    expect(count({}, '')).toBe(least + 2);
    expect(count({}, 'abc')).toBe(least + 7);
  });
});
