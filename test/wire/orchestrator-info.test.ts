import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { OrchestratorInfoSchema } from '../../src/wire/net_pb.ts';
import { decodeOrchestratorInfo } from '../../src/wire/orchestrator-info.ts';

const encode = (priceInfo?: { pricePerUnit: bigint; pixelsPerUnit: bigint }, ticketParams = {}) =>
  toBinary(
    OrchestratorInfoSchema,
    create(OrchestratorInfoSchema, { ...(priceInfo && { priceInfo }), ticketParams }),
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
