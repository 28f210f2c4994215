import { create, toBinary } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import { readOrchestratorInfo } from '../../src/discovery/read-orchestrator-info.ts';
import { OutgoingError } from '../../src/outgoing/outgoing-error.ts';
import { OrchestratorInfoSchema } from '../../src/wire/net_pb.ts';

const terms = toBinary(
  OrchestratorInfoSchema,
  create(OrchestratorInfoSchema, {
    transcoder: 'https://orchestrator.example:8935',
    address: new Uint8Array(20).fill(1),
    priceInfo: { pricePerUnit: 5n, pixelsPerUnit: 1n },
    nodes: ['https://node.example'],
  }),
);

const readWith = (digits: string) =>
  readOrchestratorInfo(
    Uint8Array.from(Buffer.concat([terms, Buffer.from(digits, 'hex')])),
    () => undefined,
  );

it('reads terms as Go does: a field of another wire type than its own is an unknown one', () => {
  expect(readWith('').nodes).toEqual(['https://node.example']);
  // the service URL, and the list of nodes, as numbers
  expect(readWith('0805' + '900205').nodes).toEqual(['https://node.example']);
});

it('lists no orchestrator whose terms Go can’t read', () => {
  expect(() => readWith('0a818080801061')).toThrow(OutgoingError);
  expect(() => readWith('78ffffffffffffffffff02')).toThrow(OutgoingError);
});
