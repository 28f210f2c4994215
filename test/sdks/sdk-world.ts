import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Folder } from '../cli/cli.ts';
import type { Account } from '../sandbox-orchestrator/account.ts';
import type { PaymentType } from '../sandbox-orchestrator/orchestrator.ts';
import {
  type SandboxServer,
  createSandboxCertificate,
  startSandboxServer,
} from '../sandbox-orchestrator/server.ts';
import { SandboxWorld } from '../sandbox-orchestrator/world.ts';
import { offerModels } from '../discovery/orchestrators.ts';
import { createRandom } from '../support/random.ts';
import { soon } from '../support/soon.ts';
import { type TestSigner, startTestSigner, vectorChain } from '../support/test-signer.ts';

const random = createRandom('sdks');
const recipient = '0x73aed7b5deb30222fa896f399d46cc99c7bee57f';

export const paymentTypes = ['lv2v', 'live', 'fixed'] as const;

/** Wei for a pixel, a second, a request; a ticket is worth twelve or five seconds, or half a request. */
const prices = {
  lv2v: { pricePerUnit: 10n, ticketEvWei: 12n * 276_480_000n, unit: '720p-pixel-seconds' },
  live: { pricePerUnit: 1_000_000n, ticketEvWei: 5_000_000n, unit: 'seconds' },
  fixed: { pricePerUnit: 1_000_000n, ticketEvWei: 500_000n, unit: 'fixed' },
} as const;

/** How much time passes from one payment to the next, s; SDKs pay each three. */
const secondsOfPayment = 3n;
/** Ticket parameters live 40 blocks. */
const blocksBehind = 39n;

export type SignerRequest = { readonly path: string; readonly status: number };

/**
 * A signer, and an orchestrator for each payment type, which it alone knows: those who pay ask it. The clock stands still but for
 * each payment, so that what is owed does not depend on the speed of the machine.
 */
export class SdkWorld implements AsyncDisposable {
  readonly #startNs = BigInt(Date.now()) * 1_000_000n;
  readonly #world = new SandboxWorld(() => this.#startNs, {
    l1Block: BigInt(vectorChain.l1Block),
    round: BigInt(vectorChain.round),
    roundBlockHash: Buffer.from(vectorChain.roundBlockHash.slice(2), 'hex'),
    activeOrchestrators: new Set([recipient]),
  });
  readonly #folder = new Folder();
  readonly #settings: Record<string, unknown>;
  readonly #front = createServer((incoming, response) => {
    this.#forward(incoming, response).catch(() => response.destroy());
  });
  readonly #orchestrators = new Map<PaymentType | 'byoc', SandboxServer>();
  #signer: TestSigner | undefined;
  #l1Block = vectorChain.l1Block;
  #areTermsAged = false;
  #isOutOfRoom = false;
  /** No time passes while a window has no room. */
  waitsForRoom = false;
  /** What the signer was asked and answered, in order; 0 where nobody was there. */
  readonly requests: SignerRequest[] = [];

  private constructor(settings: Record<string, unknown>) {
    this.#settings = settings;
  }

  /**
   * `policy` is the text of a policy file; `settings` are laid over those of the test signer. At `byocHost`, a loopback address, is an
   * orchestrator with capabilities of its own, at the one port that the SDK asks for its terms.
   */
  static async start({
    policy,
    settings = {},
    byocHost,
  }: {
    policy?: string;
    settings?: Record<string, unknown>;
    byocHost?: string;
  } = {}): Promise<SdkWorld> {
    const world = new SdkWorld(settings);
    if (policy !== undefined) {
      world.#settings['policy'] = { file: world.#folder.write('policy.yaml', policy) };
      world.#settings['store'] = { kind: 'embedded', path: `${world.#folder.path}/store` };
    }
    const certificate = await createSandboxCertificate('127.0.0.1');
    for (const type of paymentTypes) {
      const { unit, ...price } = prices[type];
      const runners = [
        { app: `${type}/echo`, mode: 'single-shot', path: 'app/' },
        { app: `${type}/session`, mode: 'persistent', path: 'session' },
      ];
      const makeDiscoveryDocument = (url: string): unknown => [
        {
          address: url,
          runners: runners.map(({ path, ...runner }) => ({
            ...runner,
            url: `${url}/apps/${type}/${path}`,
            capacity: 4,
            price_info: { price: Number(price.pricePerUnit), currency: 'wei', unit },
          })),
        },
      ];
      const server = await startSandboxServer({
        host: '127.0.0.1',
        port: 0,
        world: world.#world,
        certificate,
        makeDiscoveryDocument,
        config: {
          ...price,
          paymentType: type,
          address: `0x${random.hex(20)}`,
          recipient,
          pixelsPerUnit: 1n,
          faceValueWei: 10n * price.ticketEvWei,
          ticketSecret: random.bytes(32),
          authTokenSecret: random.bytes(32),
          ...(type === 'lv2v' && { capabilities: videoCapabilities() }),
        },
      });
      world.#orchestrators.set(type, server);
    }
    if (byocHost !== undefined) {
      const { pricePerUnit, ticketEvWei } = prices.lv2v;
      const server = await startSandboxServer({
        host: byocHost,
        port: 8935,
        world: world.#world,
        config: {
          pricePerUnit,
          ticketEvWei,
          paymentType: 'lv2v',
          address: `0x${random.hex(20)}`,
          recipient,
          pixelsPerUnit: 1n,
          faceValueWei: 10n * ticketEvWei,
          ticketSecret: random.bytes(32),
          authTokenSecret: random.bytes(32),
        },
      });
      world.#orchestrators.set('byoc', server);
    }
    world.#front.listen(0, '127.0.0.1');
    await once(world.#front, 'listening');
    await world.startSigner();
    return world;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#front.close();
    this.#front.closeAllConnections();
    await this.stopSigner();
    await Promise.all([...this.#orchestrators.values()].map((server) => server.close()));
    this.#folder[Symbol.dispose]();
  }

  /** Where the signer is, whether it runs or not. */
  get signerUrl(): string {
    return `http://127.0.0.1:${(this.#front.address() as AddressInfo).port}`;
  }

  /** Unix time, s */
  get nowSeconds(): number {
    return Number(this.#world.now() / 1_000_000_000n);
  }

  /** Starts the signer, and waits until it lists every orchestrator with its runners. */
  async startSigner(): Promise<void> {
    const signer = await startTestSigner({
      settings: {
        ...this.#settings,
        chain: { ...vectorChain, l1Block: this.#l1Block },
        discovery: {
          orchestrators: [...this.#orchestrators.values()].map(({ url }) => url),
          grants: ['127.0.0.0/8'],
          verifyTls: false,
        },
      },
    });
    signer.now = this.#world.now();
    this.#signer = signer;
    await soon(async () => {
      const answer = await fetch(`${signer.url}/discover-orchestrators`);
      const entries = (await answer.json()) as { runners?: unknown[] }[];
      const runners = entries.flatMap((entry) => entry.runners ?? []);
      if (runners.length < 2 * paymentTypes.length) throw new Error(`${runners.length} runners`);
    });
  }

  async stopSigner(): Promise<void> {
    const signer = this.#signer;
    this.#signer = undefined;
    await signer?.close();
  }

  /** Starts the signer again with another policy file. */
  async changePolicy(text: string): Promise<void> {
    await this.stopSigner();
    this.#folder.write('policy.yaml', text);
    await this.startSigner();
  }

  /** Lets all terms expire that were given so far; the signer sees that when it is started the next time. */
  async ageTerms(): Promise<void> {
    this.#world.advance({ l1Blocks: blocksBehind });
    this.#l1Block += Number(blocksBehind);
    await this.stopSigner();
    await this.startSigner();
  }

  /** Has orchestrators give terms that have expired, until the signer has refused some. */
  giveAgedTerms(): void {
    this.#world.advance({ l1Blocks: -blocksBehind });
    this.#areTermsAged = true;
  }

  passTime(seconds: bigint): void {
    this.#world.advance({ seconds });
    if (this.#signer !== undefined) this.#signer.now = this.#world.now();
    for (const { orchestrator } of this.#orchestrators.values()) orchestrator.tickAll();
  }

  accountsOf(type: PaymentType | 'byoc'): readonly Account[] {
    return this.#orchestrators.get(type)?.orchestrator.accounts ?? [];
  }

  accountOf(manifestId: string): Account {
    const account = paymentTypes
      .flatMap((type) => this.accountsOf(type))
      .find((each) => each.manifestId === manifestId);
    if (account === undefined) throw new Error(`no payment for ${manifestId}`);
    return account;
  }

  /** How often the signer gave this status to those who asked it for a payment. */
  answered(status: number): number {
    return this.paymentStatuses.filter((each) => each === status).length;
  }

  /** What it answered to them, in order. */
  get paymentStatuses(): number[] {
    const asked = this.requests.filter(({ path }) => path === '/generate-live-payment');
    return asked.map(({ status }) => status);
  }

  /** The log lines of the signer, parsed. */
  get logLines(): readonly Record<string, unknown>[] {
    return this.#signer?.logLines ?? [];
  }

  /** What orchestrators took, and why they took less. */
  get taken() {
    const orchestrators = [...this.#orchestrators.values()].map(({ orchestrator }) => orchestrator);
    return {
      payments: orchestrators
        .flatMap(({ accounts }) => accounts)
        .reduce((sum, { acceptedPayments }) => sum + acceptedPayments, 0),
      rejections: orchestrators.flatMap(({ rejections }) => rejections),
    };
  }

  async #forward(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const path = incoming.url ?? '';
    // what is owed stays the same while a window has no room, so that only the window decides when it is paid
    if (path === '/generate-live-payment' && !(this.#isOutOfRoom && this.waitsForRoom)) {
      this.passTime(secondsOfPayment);
    }
    const headers = { ...incoming.headers };
    delete headers.host;
    delete headers.connection;
    const request = { path: path.replace(/\?.*/, ''), status: 0 };
    try {
      const answer = await fetch(`${this.#signer?.url ?? 'http://127.0.0.1:1'}${path}`, {
        method: incoming.method ?? 'GET',
        headers: headers as Record<string, string>,
        ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
      });
      const body = Buffer.from(await answer.arrayBuffer());
      request.status = answer.status;
      this.#isOutOfRoom = answer.status === 429;
      if (answer.status === 480 && this.#areTermsAged) {
        this.#areTermsAged = false;
        this.#world.advance({ l1Blocks: blocksBehind });
      }
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      response.end(body);
    } finally {
      this.requests.push(request);
    }
  }
}

/** What a job of the model `scope` asks for: the capabilities' bits beside the model. */
function videoCapabilities() {
  return { ...offerModels({ 35: ['scope'] }), bitstring: [1n << 35n] };
}
