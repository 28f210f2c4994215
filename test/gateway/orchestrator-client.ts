import { request } from 'node:https';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import { z } from 'zod';
import {
  type OrchestratorInfo,
  OrchestratorInfoSchema,
  type OrchestratorRequest,
  OrchestratorRequestSchema,
  PaymentResultSchema,
} from '../../src/wire/net_pb.ts';
import { GatewayError } from './gateway-error.ts';
import type { InfoSignature } from './signer-client.ts';

const timeoutMs = 8_000;

const refreshedSchema = z.object({ payment_params: z.base64() });

/** Asks the orchestrator at `url` for its terms by gRPC. Throws {@link GatewayError}. */
export async function getOrchestratorInfo(
  url: string,
  { address, signature }: InfoSignature,
): Promise<OrchestratorInfo> {
  // Orchestrators sign their certificates themselves, so gateways do not verify them.
  const tls = credentials.createSsl(null, null, null, { rejectUnauthorized: false });
  const { host } = new URL(url);
  const client = new Client(host, tls, { 'grpc.ssl_target_name_override': 'orchestrator' });
  const message = create(OrchestratorRequestSchema, {
    address: Buffer.from(address.slice(2), 'hex'),
    sig: Buffer.from(signature.slice(2), 'hex'),
  });
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest<OrchestratorRequest, OrchestratorInfo>(
        '/net.Orchestrator/GetOrchestrator',
        (value) => Buffer.from(toBinary(OrchestratorRequestSchema, value)),
        (bytes) => fromBinary(OrchestratorInfoSchema, bytes),
        message,
        { deadline: Date.now() + timeoutMs },
        (error, info) => {
          if (info !== undefined) resolve(info);
          else reject(new GatewayError('orchestrator', undefined, error?.details ?? 'no answer'));
        },
      );
    });
  } finally {
    client.close();
  }
}

/**
 * Sends a payment to the orchestrator at `url`, both parts in base64. Returns its next terms.
 * Throws {@link GatewayError} unless it answers 200.
 */
export async function sendPayment(
  url: string,
  { payment, segCreds }: { readonly payment: string; readonly segCreds: string },
): Promise<OrchestratorInfo> {
  const headers = { 'Livepeer-Payment': payment, 'Livepeer-Segment': segCreds };
  const body = await post(`${url}/payment`, headers, '');
  const { info } = fromBinary(PaymentResultSchema, body);
  if (info === undefined) {
    throw new GatewayError('orchestrator', 200, 'the payment result has no orchestrator info');
  }
  return info;
}

/** Fresh terms for a session that runs at the orchestrator at `url`. Throws {@link GatewayError}. */
export async function refreshPayment(
  url: string,
  sender: string,
  manifestId: string,
): Promise<OrchestratorInfo> {
  const body = JSON.stringify({ sender, manifest_id: manifestId });
  const headers = { 'Content-Type': 'application/json' };
  const answer = await post(`${url}/refresh-payment`, headers, body);
  const { payment_params: params } = refreshedSchema.parse(JSON.parse(answer.toString('utf8')));
  return fromBinary(OrchestratorInfoSchema, Buffer.from(params, 'base64'));
}

async function post(url: string, headers: Record<string, string>, body: string): Promise<Buffer> {
  const { status, content } = await new Promise<{ status: number; content: Buffer }>(
    (resolve, reject) => {
      const options = {
        method: 'POST',
        headers,
        rejectUnauthorized: false,
        timeout: timeoutMs,
        agent: false,
      } as const;
      const sent = request(url, options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, content: Buffer.concat(chunks) });
        });
      });
      sent.on('timeout', () => sent.destroy(new Error(`no answer from ${url} in ${timeoutMs} ms`)));
      sent.on('error', reject);
      sent.end(body);
    },
  );
  if (status !== 200) {
    throw new GatewayError('orchestrator', status, content.toString('utf8').trim());
  }
  return content;
}
