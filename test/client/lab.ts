import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { request as requestTls } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { PaymentType } from '../../client/src/generate-live-payment.ts';
import { type SandboxServer, startSandboxServer } from '../sandbox-orchestrator/server.ts';
import { collectStats } from '../sandbox-orchestrator/stats.ts';
import { SandboxWorld } from '../sandbox-orchestrator/world.ts';
import { createRandom } from '../support/random.ts';
import { startTestSigner, type TestSigner, vectorChain } from '../support/test-signer.ts';
import type { LabCommand, LabReport, LabWorld, Step } from './portable/lab-client.ts';

const random = createRandom('client/lab');
const recipient = '0x73aed7b5deb30222fa896f399d46cc99c7bee57f';
const startNs = 1_775_592_000_000_000_000n;
const paymentTypes = ['lv2v', 'live', 'fixed'] as const;
/** Wei for a pixel, a second, a request; a ticket is worth twelve or five seconds, or half a request. */
const prices: Readonly<Record<PaymentType, { pricePerUnit: bigint; ticketEvWei: bigint }>> = {
  lv2v: { pricePerUnit: 10n, ticketEvWei: 12n * 276_480_000n },
  live: { pricePerUnit: 1_000_000n, ticketEvWei: 5_000_000n },
  fixed: { pricePerUnit: 1_000_000n, ticketEvWei: 500_000n },
};
/** Terms live 40 blocks; from a view this far behind, one block is left for a signer that is up to date. */
const blocksBehind = 39n;

/**
 * Signers and sandbox orchestrators behind one plain HTTP address, so that programs of any runtime, pages too, can pay them. It
 * moves their clocks, restarts the signer, and spoils the connections to it, as the portable tests ask.
 */
export class ClientLab {
  readonly #worlds: World[] = [];
  readonly #server = createServer((incoming, response) => {
    this.#answer(incoming, response).catch((error: unknown) => {
      response.writeHead(500);
      response.end(String(error));
    });
  });
  /** What is served beside the worlds, by path. */
  readonly pages = new Map<string, { readonly type: string; readonly content: string }>();
  url = '';

  static async start(): Promise<ClientLab> {
    const lab = new ClientLab();
    lab.#server.listen(0, '127.0.0.1');
    await once(lab.#server, 'listening');
    lab.url = `http://127.0.0.1:${(lab.#server.address() as AddressInfo).port}`;
    return lab;
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await Promise.all(this.#worlds.map((world) => world.close()));
  }

  async #answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = incoming.url ?? '';
    // programs repeat a request by themselves when a connection breaks that was used before
    response.shouldKeepAlive = false;
    const page = this.pages.get(path);
    if (page !== undefined) {
      response.writeHead(200, { 'Content-Type': page.type });
      response.end(page.content);
      return;
    }
    if (path === '/worlds') {
      const url = `${this.url}/worlds/${this.#worlds.length}`;
      this.#worlds.push(new World(url));
      response.end(JSON.stringify({ url } satisfies LabWorld));
      return;
    }
    const [, index, place = '', rest = ''] = /^\/worlds\/(\d+)\/([^/?]*)(.*)$/.exec(path) ?? [];
    const world = this.#worlds[Number(index)];
    if (index === undefined || world === undefined) {
      response.writeHead(404);
      response.end();
      return;
    }
    if (place === 'control') {
      const command = JSON.parse((await readAll(incoming)).toString()) as LabCommand;
      response.end(JSON.stringify(await world.obey(command)));
      return;
    }
    await world.answer(place, rest, incoming, response);
  }
}

class World {
  readonly #url: string;
  readonly #world = new SandboxWorld(() => startNs, {
    l1Block: BigInt(vectorChain.l1Block),
    round: BigInt(vectorChain.round),
    roundBlockHash: Buffer.from(vectorChain.roundBlockHash.slice(2), 'hex'),
    activeOrchestrators: new Set([recipient]),
  });
  readonly #orchestrators = new Map<PaymentType, Promise<SandboxServer>>();
  readonly #script: Step[] = [];
  readonly #orchestratorScript: Step[] = [];
  readonly #requests: LabReport['requests'][number][] = [];
  #underWay = 0;
  #mostUnderWay = 0;
  #keyCalls = 0;
  /** Started when it is first asked for; undefined once it was stopped. */
  #signer: Promise<TestSigner> | undefined;
  #isStopped = false;

  constructor(url: string) {
    this.#url = url;
  }

  async close(): Promise<void> {
    await (await this.#signer)?.close();
    const servers = await Promise.all(this.#orchestrators.values());
    await Promise.all(servers.map((server) => server.close()));
  }

  /** Started when it is first asked for. */
  #orchestrator(type: PaymentType): Promise<SandboxServer> {
    const started = this.#orchestrators.get(type) ?? this.#startOrchestrator(type);
    this.#orchestrators.set(type, started);
    return started;
  }

  #startOrchestrator(type: PaymentType): Promise<SandboxServer> {
    const { ticketEvWei } = prices[type];
    return startSandboxServer({
      host: '127.0.0.1',
      port: 0,
      world: this.#world,
      serviceUrl: `${this.#url}/${type}`,
      config: {
        ...prices[type],
        paymentType: type,
        address: '0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc',
        recipient,
        pixelsPerUnit: 1n,
        faceValueWei: 10n * ticketEvWei,
        ticketSecret: random.bytes(32),
        authTokenSecret: random.bytes(32),
      },
    });
  }

  async #startSigner(): Promise<TestSigner> {
    const signer = await startTestSigner({ settings: { store: { kind: 'embedded' } } });
    signer.now = this.#world.now();
    return signer;
  }

  async obey(command: LabCommand): Promise<LabReport> {
    switch (command.do) {
      case 'advance': {
        this.#world.advance({ seconds: BigInt(command.seconds) });
        const signer = await this.#signer;
        if (signer !== undefined) signer.now = this.#world.now();
        for (const { orchestrator } of await Promise.all(this.#orchestrators.values())) {
          orchestrator.tickAll();
        }
        break;
      }
      case 'age-terms':
        this.#world.advance({ l1Blocks: command.isOn ? -blocksBehind : blocksBehind });
        break;
      case 'script':
        this.#script.push(...(command.signer ?? []));
        this.#orchestratorScript.push(...(command.orchestrator ?? []));
        break;
      case 'stop-signer': {
        const signer = await this.#signer;
        this.#signer = undefined;
        this.#isStopped = true;
        this.#keyCalls += signer?.key.digests.length ?? 0;
        await signer?.close();
        break;
      }
      case 'start-signer':
        this.#isStopped = false;
        break;
      case 'report':
    }
    return this.#report();
  }

  async #report(): Promise<LabReport> {
    const stats = [...this.#orchestrators].map(async ([type, server]) => {
      const { orchestrator, url } = await server;
      return [type, { ...collectStats(orchestrator), url }] as const;
    });
    return {
      orchestrators: Object.fromEntries(await Promise.all(stats)),
      requests: this.#requests,
      mostUnderWay: this.#mostUnderWay,
      keyCalls: this.#keyCalls + ((await this.#signer)?.key.digests.length ?? 0),
    };
  }

  async answer(
    place: string,
    path: string,
    incoming: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const body = await readAll(incoming);
    if (place === 'signer') {
      const { headers } = incoming;
      this.#requests.push({
        path,
        headers: headers as Record<string, string>,
        body: body.toString(),
      });
      this.#underWay += 1;
      this.#mostUnderWay = Math.max(this.#mostUnderWay, this.#underWay);
      response.once('close', () => (this.#underWay -= 1));
      const step = path === '/generate-live-payment' ? this.#script.shift() : undefined;
      await follow(step, async () => `${await this.#signerUrl()}${path}`, incoming, body, response);
      return;
    }
    const type = paymentTypes.find((each) => each === place);
    if (type === undefined) {
      response.writeHead(404).end();
      return;
    }
    const step = path.endsWith('/payment') ? this.#orchestratorScript.shift() : undefined;
    const urlOf = async (): Promise<string> => `${(await this.#orchestrator(type)).url}${path}`;
    await follow(step, urlOf, incoming, body, response);
  }

  /** Of a stopped signer, an address where nobody listens. */
  async #signerUrl(): Promise<string> {
    if (this.#isStopped) return 'http://127.0.0.1:1';
    this.#signer ??= this.#startSigner();
    return (await this.#signer).url;
  }
}

/** Does with a request what the step says; forwards it without one. */
async function follow(
  step: Step | undefined,
  urlOf: () => Promise<string>,
  incoming: IncomingMessage,
  body: Buffer,
  response: ServerResponse,
): Promise<void> {
  if (step === 'forward' || step === undefined) forward(await urlOf(), incoming, body, response);
  else if (step === 'lose-request') response.destroy();
  else if (step === 'lose-answer') {
    forward(await urlOf(), incoming, body, response, () => response.destroy());
  } else if (step !== 'hang') {
    response.writeHead(step.status, step.headers);
    response.end(step.body);
  }
}

const ofOneConnection = ['host', 'connection', 'keep-alive'];

/** With `onAnswer` the answer is read, and not passed on. */
function forward(
  url: string,
  incoming: IncomingMessage,
  body: Buffer,
  response: ServerResponse,
  onAnswer?: () => void,
): void {
  const headers = { ...incoming.headers };
  for (const name of ofOneConnection) Reflect.deleteProperty(headers, name);
  const options = { method: incoming.method, headers, rejectUnauthorized: false, agent: false };
  const pass = (answer: IncomingMessage): void => {
    if (onAnswer !== undefined) {
      answer.resume().on('end', onAnswer);
      return;
    }
    for (const name of ofOneConnection) Reflect.deleteProperty(answer.headers, name);
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  };
  const sent = url.startsWith('https:')
    ? requestTls(url, options, pass)
    : request(url, options, pass);
  sent.on('error', () => response.destroy());
  // the signer does not learn that a client has gone, as behind many load balancers: it makes its answer, and remembers it
  if (url.startsWith('https:')) response.on('close', () => sent.destroy());
  sent.end(body);
}

async function readAll(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
