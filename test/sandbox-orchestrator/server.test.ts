import { connect } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import { privateKeyToAccount } from 'viem/accounts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PaymentSchema, SegDataSchema } from '../../src/wire/net_pb.ts';
import {
  getOrchestratorInfo,
  refreshPayment,
  sendPayment,
} from '../gateway/orchestrator-client.ts';
import { advance, fetchStats } from './admin-client.ts';
import { toHex } from './bytes.ts';
import { Payer, toHeader } from './payer.ts';
import { type SandboxServer, startSandboxServer } from './server.ts';
import { SandboxWorld } from './world.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('sandbox server');

const recipient = '0x73aed7b5deb30222fa896f399d46cc99c7bee57f';
const payer = new Payer(privateKeyToAccount(`0x${random.hex(31)}01`));

let server: SandboxServer;

beforeEach(async () => {
  const startNs = 1_775_592_000_000_000_000n;
  const world = new SandboxWorld(() => startNs, {
    l1Block: 20_999_970n,
    round: 3800n,
    roundBlockHash: new Uint8Array(32).fill(7),
    activeOrchestrators: new Set([recipient]),
  });
  server = await startSandboxServer({
    host: '127.0.0.1',
    port: 0,
    world,
    config: {
      paymentType: 'live',
      address: '0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc',
      recipient,
      pricePerUnit: 1000n,
      pixelsPerUnit: 1n,
      ticketEvWei: 1000n,
      faceValueWei: 1000n,
      ticketSecret: random.bytes(32),
      authTokenSecret: random.bytes(32),
    },
  });
});

afterEach(() => server.close());

async function introduce(): Promise<{ address: string; signature: string }> {
  const { address, sig } = await payer.makeInfoRequest();
  return { address: toHex(address), signature: toHex(sig) };
}

async function makeHeaders(
  info: Awaited<ReturnType<typeof getOrchestratorInfo>>,
  nonces: number[],
): Promise<{ payment: string; segCreds: string }> {
  const payment = await payer.makePayment(info, nonces);
  const segment = await payer.makeSegment(info, info.authToken?.sessionId ?? '');
  return {
    payment: toHeader(PaymentSchema, payment),
    segCreds: toHeader(SegDataSchema, segment),
  };
}

describe('the sandbox server', () => {
  it('hands out terms by gRPC and takes payments by HTTPS on the same port', async () => {
    const info = await getOrchestratorInfo(server.url, await introduce());
    expect(info.transcoder).toBe(server.url);
    const next = await sendPayment(info.transcoder, await makeHeaders(info, [1, 2]));
    expect(next.authToken).toEqual(info.authToken);
    await sendPayment(next.transcoder, await makeHeaders(next, [1]));
    const stats = await fetchStats(server.url);
    expect(stats).toMatchObject({
      acceptedPayments: 2,
      acceptedTickets: 3,
      rejections: [],
      sessions: [
        {
          sender: payer.address.toLowerCase(),
          manifestId: info.authToken?.sessionId,
          creditedWei: '3000',
          balanceWei: '3000',
          isDropped: false,
        },
      ],
      droppedSessions: [],
    });
    expect(stats.winners).toHaveLength(3);
  });

  it('offers HTTP/2 and HTTP/1.1 in the TLS handshake', async () => {
    for (const protocol of ['h2', 'http/1.1']) {
      const { hostname, port } = new URL(server.url);
      const socket = connect({
        host: hostname,
        port: Number(port),
        ALPNProtocols: [protocol],
        rejectUnauthorized: false,
      });
      await new Promise((resolve, reject) => {
        socket.once('secureConnect', resolve);
        socket.once('error', reject);
      });
      expect(socket.alpnProtocol).toBe(protocol);
      socket.destroy();
    }
  });

  it('takes a payment of 100 tickets in one header', async () => {
    const info = await getOrchestratorInfo(server.url, await introduce());
    const nonces = Array.from({ length: 100 }, (_, i) => i + 500);
    await sendPayment(info.transcoder, await makeHeaders(info, nonces));
    expect(server.orchestrator.accounts[0]?.acceptedTickets).toBe(100);
  });

  it('answers a gRPC request with a wrong signature with status UNKNOWN and the reason', async () => {
    const { address } = await introduce();
    const signature = `0x${'11'.repeat(65)}`;
    await expect(getOrchestratorInfo(server.url, { address, signature })).rejects.toThrow(
      'Invalid orchestrator request: orchestrator req sig check failed: signature v value must be 27 or 28',
    );
  });

  it('answers an unknown gRPC method with status UNIMPLEMENTED', async () => {
    const tls = credentials.createSsl(null, null, null, { rejectUnauthorized: false });
    const { host } = new URL(server.url);
    const client = new Client(host, tls, { 'grpc.ssl_target_name_override': 'orchestrator' });
    const code = await new Promise((resolve) => {
      client.makeUnaryRequest(
        '/net.Orchestrator/Ping',
        () => Buffer.alloc(0),
        (bytes) => bytes,
        create(PaymentSchema),
        (error) => {
          resolve(error?.code);
        },
      );
    });
    client.close();
    expect(code).toBe(12);
  });

  it.each([
    ['402 for an unreadable payment', { payment: '?' }, 402, 'base64 decode error'],
    ['403 for bad credentials', { segCreds: '?' }, 403, 'ErrorSegEncoding'],
  ])('answers %s', async (_name, broken, status, reason) => {
    const info = await getOrchestratorInfo(server.url, await introduce());
    const headers = { ...(await makeHeaders(info, [1])), ...broken };
    await expect(sendPayment(info.transcoder, headers)).rejects.toMatchObject({
      status,
      message: expect.stringContaining(reason) as string,
    });
  });

  it('answers 400 for a rejected payment, with the reason', async () => {
    const info = await getOrchestratorInfo(server.url, await introduce());
    const headers = await makeHeaders(info, [1]);
    await sendPayment(info.transcoder, headers);
    await expect(sendPayment(info.transcoder, headers)).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining('invalid ticket senderNonce: already seen') as string,
    });
  });

  it('refreshes the terms of a paid session, and answers 409 for an unpaid one', async () => {
    const info = await getOrchestratorInfo(server.url, await introduce());
    const sessionId = info.authToken?.sessionId ?? '';
    await expect(refreshPayment(server.url, payer.address, sessionId)).rejects.toMatchObject({
      status: 409,
    });
    await sendPayment(info.transcoder, await makeHeaders(info, [1]));
    const refreshed = await refreshPayment(server.url, payer.address, sessionId);
    expect(refreshed.authToken?.sessionId).toBe(sessionId);
    await sendPayment(refreshed.transcoder, await makeHeaders(refreshed, [1]));
    expect(server.orchestrator.accounts[0]?.acceptedPayments).toBe(2);
  });

  it('debits and drops sessions when its time is advanced', async () => {
    const info = await getOrchestratorInfo(server.url, await introduce());
    await sendPayment(info.transcoder, await makeHeaders(info, [1, 2, 3, 4, 5, 6, 7]));
    const after5s = await advance(server.url, { seconds: 5, l1Blocks: 1 });
    expect(after5s.sessions[0]).toMatchObject({ balanceWei: '2000', isDropped: false });
    const after10s = await advance(server.url, { seconds: 5 });
    expect(after10s.sessions[0]).toMatchObject({ balanceWei: '2000', isDropped: true });
    expect(after10s.droppedSessions[0]?.reason).toContain('insufficient balance');
  });
});
