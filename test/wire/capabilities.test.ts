import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { decodeCapabilities, listModels } from '../../src/wire/capabilities.ts';
import { CapabilitiesSchema } from '../../src/wire/net_pb.ts';

describe('the capabilities of a request', () => {
  const build = (words: number, models: string[] = []) =>
    create(CapabilitiesSchema, {
      bitstring: Array.from({ length: words }, () => 1n),
      constraints: {
        perCapability: {
          35: { models: Object.fromEntries(models.map((model) => [model, { warm: true }])) },
        },
      },
    });
  const decode = (words: number, models?: string[]) =>
    decodeCapabilities(toBinary(CapabilitiesSchema, build(words, models)));

  it('are 4,096 at most', () => {
    const tooMany = expect.objectContaining({
      code: 'CAPABILITIES_MALFORMED',
      message: 'capabilities name more than 4096 bits',
    }) as Error;
    expect(decode(64)?.sent.bitstring).toHaveLength(64);
    expect(() => decode(65)).toThrow(tooMany);
  });

  it('are none in no bytes, and refused where they are no protobuf', () => {
    expect(decodeCapabilities(new Uint8Array())).toBeUndefined();
    const malformed = expect.objectContaining({
      code: 'CAPABILITIES_MALFORMED',
      message: 'proto: cannot parse net.Capabilities: a length goes beyond the end',
      cause: expect.any(Error) as Error,
    }) as Error;
    expect(() => decodeCapabilities(Uint8Array.of(0x0a, 5))).toThrow(malformed);
  });

  it('name models by capability', () => {
    const models = [
      { capability: 35, model: 'a' },
      { capability: 35, model: 'b' },
    ];
    expect(decode(1, ['a', 'b'])?.models).toEqual(models);
    expect(listModels(undefined)).toEqual([]);
    expect(listModels(create(CapabilitiesSchema))).toEqual([]);
  });

  it('are counted as the answer has them', () => {
    const count = (models: string[]) => decode(1, models)?.copiedBytes ?? NaN;
    expect(count(['a'.repeat(100)])).toBe(count(['a'.repeat(90)]) + 10);
    const { sent, copiedBytes } = decode(1, ['a']) ?? {};
    expect(copiedBytes).toBe(
      toBinary(CapabilitiesSchema, sent ?? create(CapabilitiesSchema)).length,
    );
  });
});
