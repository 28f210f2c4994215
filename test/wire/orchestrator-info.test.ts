import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { CapabilitiesSchema, OrchestratorInfoSchema } from '../../src/wire/net_pb.ts';
import {
  decodeCapabilities,
  decodeOrchestratorInfo,
  listModels,
} from '../../src/wire/orchestrator-info.ts';
import { countCopiedBytes } from '../../src/wire/payment.ts';

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
  const price = { pricePerUnit: 3n, pixelsPerUnit: 2n };
  const capabilities = (words: number, models: string[] = []) =>
    create(CapabilitiesSchema, {
      bitstring: Array.from({ length: words }, () => 1n),
      constraints: {
        perCapability: {
          35: { models: Object.fromEntries(models.map((model) => [model, { warm: true }])) },
        },
      },
    });
  const code = (expected: string) => expect.objectContaining({ code: expected }) as Error;

  it('is refused by what is wrong with it', () => {
    const decode = (bytes: Uint8Array) => () => decodeOrchestratorInfo(bytes);
    expect(decode(new Uint8Array())).toThrow(code('ORCHESTRATOR_MISSING'));
    expect(decode(Uint8Array.of(0x0a, 5))).toThrow(code('ORCHESTRATOR_MALFORMED'));
    expect(decode(Uint8Array.of(0x0a, 5))).toThrow(
      'proto: cannot parse net.OrchestratorInfo: a length goes beyond the end',
    );
    const priceOnly = create(OrchestratorInfoSchema, { priceInfo: price });
    expect(decode(toBinary(OrchestratorInfoSchema, priceOnly))).toThrow(
      code('TICKET_PARAMS_MISSING'),
    );
  });

  it('may name 4,096 capabilities', () => {
    const decode = (words: number) =>
      decodeCapabilities(toBinary(CapabilitiesSchema, capabilities(words)));
    expect(decode(64)?.bitstring).toHaveLength(64);
    expect(() => decode(65)).toThrow(code('CAPABILITIES_MALFORMED'));
    expect(() => decode(65)).toThrow('capabilities name more than 4096 bits');
    expect(decodeCapabilities(new Uint8Array())).toBeUndefined();
    expect(() => decodeCapabilities(Uint8Array.of(0x0a, 5))).toThrow(
      code('CAPABILITIES_MALFORMED'),
    );
  });

  it('names models by capability', () => {
    expect(listModels(capabilities(1, ['a', 'b']))).toEqual([
      { capability: 35, model: 'a' },
      { capability: 35, model: 'b' },
    ]);
    expect(listModels(undefined)).toEqual([]);
    expect(listModels(create(CapabilitiesSchema))).toEqual([]);
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
    const ofModels = (models: string[]) => countCopiedBytes(capabilities(1, models));
    expect(ofModels([])).toBeGreaterThan(0);
    expect(ofModels(['a'.repeat(100)])).toBe(ofModels(['a'.repeat(90)]) + 10);
  });

  it('is the same object while the same bytes come again, and another one for others', () => {
    const bytes = encode(price, { seed: Uint8Array.of(1) });
    const info = decodeOrchestratorInfo(bytes);
    expect(decodeOrchestratorInfo(Uint8Array.from(bytes))).toBe(info);
    const other = decodeOrchestratorInfo(encode(price, { seed: Uint8Array.of(2) }));
    expect(other.ticketParams.seed).toBe(2n);
    expect(info.ticketParams.seed).toBe(1n);
    for (let seed = 0; seed < 500; seed++) {
      decodeOrchestratorInfo(encode(price, { seed: Uint8Array.of(3, seed >> 8, seed & 255) }));
    }
    expect(decodeOrchestratorInfo(bytes)).not.toBe(info);
    expect(decodeOrchestratorInfo(bytes)).toEqual(info);
  });

  it('is read each time where it is larger than those of orchestrators', () => {
    const bytes = encode(price, { seed: new Uint8Array(4096).fill(1) });
    const info = decodeOrchestratorInfo(bytes);
    expect(decodeOrchestratorInfo(bytes)).not.toBe(info);
    expect(decodeOrchestratorInfo(bytes)).toEqual(info);
  });
});
