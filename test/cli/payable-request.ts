import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { OrchestratorInfoSchema } from '../../src/wire/net_pb.ts';
import { vectors } from '../vectors/vectors.ts';

const [first] = vectors.endToEnd.cases;

/** The vectors' first payment as a body whose auth token holds for an hour by the system's clock. */
export function payableRequest(): string {
  const body = JSON.parse(first?.requestBody ?? '') as { orchestrator: string };
  const info = fromBinary(OrchestratorInfoSchema, Buffer.from(body.orchestrator, 'base64'));
  if (info.authToken === undefined) throw new Error('the vector has no auth token');
  info.authToken.expiration = BigInt(Math.floor(Date.now() / 1000)) + 3600n;
  const orchestrator = Buffer.from(toBinary(OrchestratorInfoSchema, info)).toString('base64');
  return JSON.stringify({ ...body, orchestrator });
}
