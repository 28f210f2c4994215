import {
  createSignerClient,
  type PaymentChallenge,
  type PaymentType,
  readPaymentChallenge,
  type SignerClient,
  type SignerClientOptions,
} from 'livepeer-remote-signer-client';
import type { SandboxStats } from '../../sandbox-orchestrator/stats.ts';

/** What becomes of one request: passed on, or spoilt. */
export type Step =
  | 'forward'
  | 'lose-request'
  /** It is answered, and the answer does not arrive. */
  | 'lose-answer'
  | 'hang'
  | {
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    };

export type LabCommand =
  | { readonly do: 'report' | 'stop-signer' | 'start-signer' }
  | { readonly do: 'advance'; readonly seconds: number }
  /** Whether orchestrators hand out terms that are about to expire. */
  | { readonly do: 'age-terms'; readonly isOn: boolean }
  /** What becomes of the next requests for payments, and of the next payments. */
  | {
      readonly do: 'script';
      readonly signer?: readonly Step[];
      readonly orchestrator?: readonly Step[];
    };

export type LabReport = {
  /** Those that were asked for anything, each with its own URL, where it answers gRPC. */
  readonly orchestrators: Readonly<
    Partial<Record<PaymentType, SandboxStats & { readonly url: string }>>
  >;
  /** What reached the signer's address. */
  readonly requests: readonly {
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
  }[];
  /** The most requests that were at the signer's address at a time. */
  readonly mostUnderWay: number;
  readonly keyCalls: number;
};

export type LabWorld = { readonly url: string };

/** A signer and three orchestrators of a test's own. */
export class World {
  readonly #world: LabWorld;

  private constructor(world: LabWorld) {
    this.#world = world;
  }

  static async open(labUrl: string): Promise<World> {
    const answer = await fetch(`${labUrl}/worlds`, { method: 'POST' });
    return new World((await answer.json()) as LabWorld);
  }

  get signerUrl(): string {
    return `${this.#world.url}/signer`;
  }

  /** Where the orchestrator for payments of `type` answers HTTP, by way of the lab. */
  orchestratorUrl(type: PaymentType): string {
    return `${this.#world.url}/${type}`;
  }

  /** What the orchestrator for payments of `type` has seen so far. */
  async orchestrator(
    type: PaymentType,
  ): Promise<NonNullable<LabReport['orchestrators'][PaymentType]>> {
    await fetch(`${this.orchestratorUrl(type)}/sandbox/stats`);
    const stats = (await this.report()).orchestrators[type];
    if (stats === undefined) throw new Error(`the lab has no orchestrator for ${type}`);
    return stats;
  }

  /** Where it answers gRPC. */
  async grpcUrl(type: PaymentType): Promise<string> {
    return (await this.orchestrator(type)).url;
  }

  /** A client that does not spread its pauses. */
  client(options: Partial<SignerClientOptions> = {}): SignerClient {
    return createSignerClient({ url: this.signerUrl, random: () => 0, ...options });
  }

  /** The challenge of a runner there. */
  async challenge(type: PaymentType, client: SignerClient): Promise<PaymentChallenge> {
    const { address } = await client.signOrchestratorInfo();
    const answer = await fetch(`${this.orchestratorUrl(type)}/apps/runner/session`, {
      method: 'POST',
      headers: { 'Livepeer-Payer-Address': address },
    });
    return readPaymentChallenge(answer);
  }

  async tell(command: LabCommand): Promise<LabReport> {
    const answer = await fetch(`${this.#world.url}/control`, {
      method: 'POST',
      body: JSON.stringify(command),
    });
    return (await answer.json()) as LabReport;
  }

  report(): Promise<LabReport> {
    return this.tell({ do: 'report' });
  }

  /** The bodies of the requests for payments so far. */
  async paymentRequests(): Promise<LabReport['requests']> {
    const { requests } = await this.report();
    return requests.filter(({ path }) => path === '/generate-live-payment');
  }
}
