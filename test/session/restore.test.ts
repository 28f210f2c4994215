import { create, toBinary } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import { restoreSession } from '../../src/session/restore.ts';
import { OrchestratorInfoSchema } from '../../src/wire/net_pb.ts';
import { decodeOrchestratorInfo } from '../../src/wire/orchestrator-info.ts';
import { decodePaymentRequest } from '../../src/wire/payment-request.ts';
import { emptyState } from './empty-state.ts';

const orchestrator = decodeOrchestratorInfo(
  toBinary(
    OrchestratorInfoSchema,
    create(OrchestratorInfoSchema, {
      address: Uint8Array.from({ length: 20 }, () => 0x11),
      priceInfo: { pricePerUnit: 3n, pixelsPerUnit: 2n },
      ticketParams: { recipient: Uint8Array.from({ length: 20 }, () => 0x22) },
    }),
  ),
);

it('a session without a state begins with books of nothing, and an id of its own', () => {
  const request = decodePaymentRequest(Buffer.from('{"app":"an app","type":"lv2v"}'));
  let ids = 0;
  const options = { manifestIdRule: 'any', randomId: () => `id-${(ids += 1)}` } as const;
  expect(restoreSession(request, orchestrator, options)).toStrictEqual({
    books: {
      ...emptyState,
      stateId: 'id-1',
      orchestratorAddress: `0x${'11'.repeat(20)}`,
      app: 'an app',
      initialPrice: orchestrator.price,
      recipient: `0x${'22'.repeat(20)}`,
    },
    isNew: true,
    manifestId: 'id-2',
  });
});
