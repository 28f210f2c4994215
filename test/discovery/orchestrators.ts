import { create } from '@bufbuild/protobuf';
import { privateKeyToAccount } from 'viem/accounts';
import { createOrchestratorClient } from '../../src/discovery/ask-orchestrator.ts';
import { createDestinations } from '../../src/outgoing/destinations.ts';
import { CapabilitiesSchema, PriceInfoSchema } from '../../src/wire/net_pb.ts';
import type { OrchestratorConfig } from '../sandbox-orchestrator/orchestrator.ts';
import { Payer } from '../sandbox-orchestrator/payer.ts';
import {
  type SandboxCertificate,
  type SandboxServer,
  type SandboxServerOptions,
  createSandboxCertificate,
  startSandboxServer,
} from '../sandbox-orchestrator/server.ts';
import { SandboxWorld } from '../sandbox-orchestrator/world.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('discovered orchestrators');

const recipient = '0x73aed7b5deb30222fa896f399d46cc99c7bee57f';

export const payer = new Payer(privateKeyToAccount(`0x${random.hex(31)}01`));

let certificate: Promise<SandboxCertificate> | undefined;

/** What an orchestrator of a test offers. */
export type TestOffer = {
  readonly config?: Partial<OrchestratorConfig>;
  readonly serviceUrl?: string;
  /** live-video-to-video models; one called `scope` unless told */
  readonly models?: readonly string[];
  /** one runner unless told; undefined for no document */
  readonly document?: ((url: string) => unknown) | undefined;
  readonly port?: number;
};

/** A sandbox orchestrator on a free port of 127.0.0.1; all of them share one certificate. */
export async function startOrchestrator(offer: TestOffer = {}): Promise<SandboxServer> {
  certificate ??= createSandboxCertificate('127.0.0.1');
  const models = offer.models ?? ['scope'];
  const document = 'document' in offer ? offer.document : describeRunner;
  const world = new SandboxWorld(() => BigInt(Date.now()) * 1_000_000n, {
    l1Block: 20_999_970n,
    round: 3800n,
    roundBlockHash: new Uint8Array(32).fill(7),
    activeOrchestrators: new Set([recipient]),
  });
  const options: SandboxServerOptions = {
    host: '127.0.0.1',
    port: offer.port ?? 0,
    world,
    certificate: await certificate,
    ...(offer.serviceUrl !== undefined && { serviceUrl: offer.serviceUrl }),
    ...(document && { makeDiscoveryDocument: document }),
    config: {
      paymentType: 'lv2v',
      address: `0x${random.hex(20)}`,
      recipient,
      pricePerUnit: 1_200n,
      pixelsPerUnit: 1n,
      ticketEvWei: 1_000n,
      faceValueWei: 1_000n,
      ticketSecret: random.bytes(32),
      authTokenSecret: random.bytes(32),
      capabilities: offerModels({ 35: models }),
      ...offer.config,
    },
  };
  return startSandboxServer(options);
}

/** Capabilities with models, by capability number. */
export function offerModels(models: Readonly<Record<number, readonly string[]>>) {
  const perCapability = Object.fromEntries(
    Object.entries(models).map(([capability, names]) => [
      capability,
      { models: Object.fromEntries(names.map((name) => [name, { warm: true }])) },
    ]),
  );
  return create(CapabilitiesSchema, { constraints: { perCapability } });
}

export function priceOf(capability: number, constraint: string, pricePerUnit: bigint) {
  return create(PriceInfoSchema, { capability, constraint, pricePerUnit, pixelsPerUnit: 1n });
}

/** A runner as orchestrators describe them. */
export const runner = {
  url: 'https://runner.example/apps/one/app',
  app: 'livepeer-example/echo',
  capacity: 4,
  capacity_used: 1,
  capacity_available: 3,
  gpu: { id: 'GPU-0', name: 'L40S', vram_mb: 46_068 },
  version: 'v1',
  metadata: '{"schema":"./schema"}',
  mode: 'single-shot',
  price_info: { price: 78_987_699_956, currency: 'wei', unit: 'fixed' },
};

function describeRunner(url: string): unknown {
  return [{ address: url, runners: [{ ...runner, url: `${url}/apps/one/app` }] }];
}

/** As the signer asks, but with the sandbox's own addresses granted and its certificates taken. */
export async function createTestClient(
  options: Partial<Parameters<typeof createOrchestratorClient>[0]> = {},
) {
  const { address, sig: signature } = await payer.makeInfoRequest();
  return createOrchestratorClient({
    destinations: createDestinations(['127.0.0.0/8']),
    sender: () => Promise.resolve({ address, signature }),
    timeoutMs: 5_000,
    verifyTls: false,
    capabilityCeiling: () => undefined,
    typeCeiling: () => undefined,
    ...options,
  });
}
