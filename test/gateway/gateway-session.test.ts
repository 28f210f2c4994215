import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fromBinary } from '@bufbuild/protobuf';
import { privateKeyToAccount } from 'viem/accounts';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type OrchestratorInfo,
  OrchestratorInfoSchema,
  PaymentSchema,
  SegDataSchema,
} from '../../src/wire/net_pb.ts';
import { toHex } from '../sandbox-orchestrator/bytes.ts';
import type { PaymentType } from '../sandbox-orchestrator/orchestrator.ts';
import { Payer, toHeader } from '../sandbox-orchestrator/payer.ts';
import { type SandboxServer, startSandboxServer } from '../sandbox-orchestrator/server.ts';
import { SandboxWorld } from '../sandbox-orchestrator/world.ts';
import { GatewaySession, type GatewaySessionOptions } from './gateway-session.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('gateway session');

const recipient = '0x73aed7b5deb30222fa896f399d46cc99c7bee57f';

/** What the scripted signer does with a request for a payment: pay, pay with nonces that repeat, or answer this status. */
type Step = 'pay' | 'pay with used nonces' | { readonly status: number; readonly body?: string };

type SignerRequest = {
  readonly orchestrator: string;
  readonly ManifestID: string;
  readonly state?: unknown;
};

/** A signer at the wire that follows a script; it pays with one ticket and counts its answers in the state. */
class ScriptedSigner {
  readonly requests: SignerRequest[] = [];
  readonly headers: IncomingMessage['headers'][] = [];
  readonly payer = new Payer(privateKeyToAccount(`0x${random.hex(31)}01`));
  readonly #server: Server;
  readonly #script: Step[];

  constructor(script: readonly Step[]) {
    this.#script = [...script];
    this.#server = createServer((request, response) => {
      void this.#answer(request).then(({ status, headers, body }) => {
        response.writeHead(status, headers);
        response.end(body);
      });
    });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(
    request: IncomingMessage,
  ): Promise<{ status: number; headers: Record<string, string>; body: string }> {
    this.headers.push(request.headers);
    let body = '';
    for await (const chunk of request) body += String(chunk);
    if (request.url === '/sign-orchestrator-info') {
      const { sig } = await this.payer.makeInfoRequest();
      const signed = { address: this.payer.address, signature: toHex(sig) };
      return { status: 200, headers: {}, body: JSON.stringify(signed) };
    }
    const call = JSON.parse(body) as SignerRequest;
    this.requests.push(call);
    const bytes = Buffer.from(call.orchestrator, 'base64');
    const info = fromBinary(OrchestratorInfoSchema, bytes);
    const step = this.#script.shift() ?? { status: 500 };
    if (typeof step === 'string') {
      const nonces = step === 'pay' ? [this.requests.length] : [1, 1];
      return { status: 200, headers: {}, body: await this.#pay(info, call, nonces) };
    }
    const headers: Record<string, string> =
      step.status === 480 ? { 'Livepeer-Orchestrator-Url': info.transcoder } : {};
    return { status: step.status, headers, body: step.body ?? '' };
  }

  async #pay(info: OrchestratorInfo, call: SignerRequest, nonces: number[]): Promise<string> {
    const state = Buffer.from(`answer ${this.requests.length}`).toString('base64');
    return JSON.stringify({
      payment: toHeader(PaymentSchema, await this.payer.makePayment(info, nonces)),
      segCreds: toHeader(SegDataSchema, await this.payer.makeSegment(info, call.ManifestID)),
      state: { State: state, Sig: state },
    });
  }
}

let signer: ScriptedSigner;
let orchestrator: SandboxServer;

async function startSession(
  script: readonly Step[],
  paymentType: PaymentType = 'lv2v',
  options: Partial<GatewaySessionOptions> = {},
): Promise<GatewaySession> {
  signer = new ScriptedSigner(script);
  const world = new SandboxWorld(() => 1_775_592_000_000_000_000n, {
    l1Block: 20_999_970n,
    round: 3800n,
    roundBlockHash: new Uint8Array(32).fill(7),
    activeOrchestrators: new Set([recipient]),
  });
  orchestrator = await startSandboxServer({
    host: '127.0.0.1',
    port: 0,
    world,
    config: {
      paymentType,
      address: '0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc',
      recipient,
      pricePerUnit: 1000n,
      pixelsPerUnit: 1n,
      ticketEvWei: 1000n,
      faceValueWei: 10_000n,
      ticketSecret: random.bytes(32),
      authTokenSecret: random.bytes(32),
    },
  });
  return GatewaySession.start({
    signerUrl: await signer.listen(),
    orchestratorUrl: orchestrator.url,
    paymentType,
    ...options,
  });
}

function sessionIdOf({ orchestrator: info }: SignerRequest): string | undefined {
  return fromBinary(OrchestratorInfoSchema, Buffer.from(info, 'base64')).authToken?.sessionId;
}

afterEach(async () => {
  signer.close();
  await orchestrator.close();
});

describe('a gateway session', () => {
  it('pays the orchestrator and hands the signer its last state back', async () => {
    const session = await startSession(['pay', 'pay']);
    expect(await session.pay()).toMatchObject({ outcome: 'paid', refreshes: 0 });
    expect(await session.pay()).toMatchObject({ outcome: 'paid', refreshes: 0 });
    expect(orchestrator.orchestrator.accounts).toHaveLength(1);
    expect(orchestrator.orchestrator.accounts[0]?.acceptedTickets).toBe(2);
    expect(signer.requests[0]).not.toHaveProperty('state');
    const state = Buffer.from('answer 1').toString('base64');
    expect(signer.requests[1]?.state).toEqual({ State: state, Sig: state });
  });

  it('uses the terms that came with the last payment', async () => {
    const session = await startSession(['pay', 'pay']);
    await session.pay();
    await session.pay();
    expect(signer.requests[0]?.orchestrator).not.toBe(signer.requests[1]?.orchestrator);
  });

  it('skips the cycle on 482 and keeps the state', async () => {
    const session = await startSession(['pay', { status: 482 }, 'pay']);
    await session.pay();
    expect(await session.pay()).toEqual({ outcome: 'skipped', refreshes: 0 });
    expect(await session.pay()).toMatchObject({ outcome: 'paid' });
    expect(signer.requests[2]?.state).toEqual(signer.requests[1]?.state);
  });

  it('fetches fresh terms by gRPC on 480 and keeps its manifest id', async () => {
    const session = await startSession(['pay', { status: 480 }, 'pay']);
    await session.pay();
    expect(await session.pay()).toMatchObject({ outcome: 'paid', refreshes: 1 });
    const [first, , third] = signer.requests;
    if (first === undefined || third === undefined) throw new Error('the signer was not asked');
    expect(sessionIdOf(third)).not.toBe(sessionIdOf(first));
    expect(third.ManifestID).toBe(first.ManifestID);
    expect(orchestrator.orchestrator.accounts).toHaveLength(1);
  });

  it('keeps the session id of a live session when it refreshes', async () => {
    const session = await startSession(['pay', { status: 480 }, 'pay'], 'live');
    await session.pay();
    expect(await session.pay()).toMatchObject({ outcome: 'paid', refreshes: 1 });
    const [first, , third] = signer.requests;
    if (first === undefined || third === undefined) throw new Error('the signer was not asked');
    expect(third.orchestrator).not.toBe(first.orchestrator);
    expect(sessionIdOf(third)).toBe(sessionIdOf(first));
  });

  it('takes the new manifest id when it refreshes before the first payment', async () => {
    const session = await startSession([{ status: 480 }, 'pay'], 'live');
    expect(await session.pay()).toMatchObject({ outcome: 'paid', refreshes: 1 });
    expect(orchestrator.orchestrator.accounts[0]?.manifestId).toBe(session.manifestId);
  });

  it('gives up after three refreshes in a row', async () => {
    const session = await startSession(Array.from({ length: 4 }, () => ({ status: 480 })));
    await expect(session.pay()).rejects.toMatchObject({
      source: 'signer',
      status: 480,
      message: expect.stringContaining('too many consecutive session refreshes') as string,
    });
    expect(signer.requests).toHaveLength(4);
  });

  it.each([400, 481, 500, 503])(
    'reports status %i of the signer with its message',
    async (status) => {
      const body = JSON.stringify({ error: { message: 'no sender reserve' } });
      const session = await startSession([{ status, body }]);
      await expect(session.pay()).rejects.toMatchObject({
        source: 'signer',
        status,
        message: `signer answered ${status}: no sender reserve`,
      });
    },
  );

  it('reports a payment that the orchestrator rejects', async () => {
    const session = await startSession(['pay', 'pay with used nonces']);
    await session.pay();
    await expect(session.pay()).rejects.toMatchObject({
      source: 'orchestrator',
      status: 400,
      message: expect.stringContaining('invalid ticket senderNonce: already seen') as string,
    });
  });

  it('sends the given headers with every request to the signer', async () => {
    const signerHeaders = { Authorization: 'Bearer of-good-news' };
    const session = await startSession(['pay'], 'lv2v', { signerHeaders });
    await session.pay();
    expect(signer.headers.map(({ authorization }) => authorization)).toEqual([
      'Bearer of-good-news',
      'Bearer of-good-news',
    ]);
  });
});
