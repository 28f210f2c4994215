import { create, toBinary } from '@bufbuild/protobuf';
import type { Destinations } from '../outgoing/destinations.ts';
import { getOutgoing } from '../outgoing/get.ts';
import { callOutgoingGrpc } from '../outgoing/grpc.ts';
import { OutgoingError } from '../outgoing/outgoing-error.ts';
import { OrchestratorRequestSchema } from '../wire/net_pb.ts';
import type { Offer } from './offers.ts';
import {
  type CapabilityCeiling,
  type OrchestratorTerms,
  readOrchestratorInfo,
} from './read-orchestrator-info.ts';
import { type TypeCeiling, readRunnerDocument } from './read-runner-document.ts';

/** Asks an orchestrator at its service URL. Both throw {@link OutgoingError}. */
export type OrchestratorClient = {
  /** its own terms, by gRPC */
  askTerms(serviceUrl: string, signal: AbortSignal): Promise<OrchestratorTerms>;
  /** its runners, by its `/discovery` document; none where it has no such document */
  askRunners(serviceUrl: string, signal: AbortSignal): Promise<readonly Offer[]>;
};

export type OrchestratorClientOptions = {
  readonly destinations: Destinations;
  /** who asks: 20 bytes, and their signature over it, 65 bytes */
  readonly sender: () => Promise<{
    readonly address: Uint8Array;
    readonly signature: Uint8Array;
  }>;
  readonly timeoutMs: number;
  /** Whether `/discovery` documents count only from servers with a certificate that this machine trusts. */
  readonly verifyTls: boolean;
  readonly capabilityCeiling: CapabilityCeiling;
  readonly typeCeiling: TypeCeiling;
};

const getOrchestrator = '/net.Orchestrator/GetOrchestrator';
const maxAnswerBytes = 1_048_576;

export function createOrchestratorClient(options: OrchestratorClientOptions): OrchestratorClient {
  const { destinations, sender, timeoutMs } = options;
  const limits = { timeoutMs, maxBytes: maxAnswerBytes };
  let question: Uint8Array | undefined;

  async function readQuestion(): Promise<Uint8Array> {
    if (question) return question;
    const { address, signature: sig } = await sender();
    const fields = { address, sig, ignoreCapacityCheck: true };
    return (question = toBinary(
      OrchestratorRequestSchema,
      create(OrchestratorRequestSchema, fields),
    ));
  }

  return {
    async askTerms(serviceUrl, signal) {
      const url = new URL(serviceUrl);
      const question = await readQuestion();
      // orchestrators sign their certificates themselves
      const answer = await callOutgoingGrpc(destinations, url, getOrchestrator, question, {
        ...limits,
        verifyTls: false,
        signal,
      });
      return readOrchestratorInfo(answer, options.capabilityCeiling);
    },
    async askRunners(serviceUrl, signal) {
      const { verifyTls } = options;
      const url = new URL(`${serviceUrl}/discovery`);
      const { status, body } = await getOutgoing(destinations, url, {
        ...limits,
        verifyTls,
        signal,
      });
      if (status === 404) return [];
      if (status < 200 || status > 299) throw new OutgoingError('status', `HTTP status ${status}`);
      return readRunnerDocument(body, options.typeCeiling);
    },
  };
}
