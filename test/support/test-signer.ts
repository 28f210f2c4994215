import { pino } from 'pino';
import { mergeStatuses } from '../../src/admin/signer-status.ts';
import { openAdmin } from '../../src/compose/admin.ts';
import type { Config } from '../../src/config/load.ts';
import { configSchema } from '../../src/config/schema.ts';
import { type RunningSigner, type Sources, startSigner } from '../../src/main.ts';
import { type Metrics, createMetrics } from '../../src/telemetry/metrics.ts';
import { renderMetrics } from '../../src/telemetry/render-metrics.ts';
import { type TestKey, type TestKeyOptions, createTestKey } from './test-key.ts';
import { vectors } from '../vectors/vectors.ts';
import { createRandom } from './random.ts';

const random = createRandom('ids of the signer');

export type TestSigner = RunningSigner & {
  readonly key: TestKey;
  /** where its admin listener is */
  readonly adminUrl: string;
  /** the log lines so far, parsed */
  readonly logLines: Record<string, unknown>[];
  /** Unix nanoseconds the signer's clock shows; the system's when undefined */
  now: bigint | undefined;
  /** the same for the clock that delegations go by */
  sealNow: bigint | undefined;
  /** what the clock that the age of the chain's facts goes by shows, ms; the system's when undefined */
  elapsedMs: number | undefined;
  /** the ids handed out next, in order, before random ones */
  ids: string[];
  post(
    body: string | Uint8Array,
    headers?: Record<string, string>,
    signal?: AbortSignal,
  ): Promise<TestAnswer>;
};

export type TestAnswer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
};

export type TestSignerOptions = TestKeyOptions & {
  readonly privateKey?: string;
  /** laid over the default settings, section by section */
  readonly settings?: Record<string, unknown>;
  readonly metrics?: Metrics;
};

/** The facts that the protocol's vectors are computed with. */
export const vectorChain = {
  source: 'static',
  l1Block: Number(vectors.endToEnd.chain.lastSeenL1Block),
  round: Number(vectors.endToEnd.chain.lastInitializedRound),
  roundBlockHash: vectors.endToEnd.chain.lastInitializedL1BlockHash,
  deposit: `${vectors.endToEnd.chain.deposit} wei`,
  reserve: `${vectors.endToEnd.chain.reserveFundsRemaining} wei`,
};

/** A signer as `serve` starts it, listening on a free port, with the vectors' key behind the provider port. */
export async function startTestSigner(options: TestSignerOptions = {}): Promise<TestSigner> {
  const key = createTestKey(options.privateKey ?? vectors.key.privateKey, options);
  const settings = configSchema.parse({
    server: { listen: '127.0.0.1:0' },
    admin: { listen: '127.0.0.1:0' },
    keys: [{ provider: 'test-key' }],
    chain: vectorChain,
    // tests send the same state again and again, and ask what is made of it each time
    store: { kind: 'embedded', answersMaxBytes: 0 },
    ...options.settings,
    // likewise with the same ticket parameters
    session: { ticketNonces: 'upstream', ...(options.settings?.['session'] as object | undefined) },
  });
  const config: Config = {
    settings,
    keys: [
      {
        name: 'keys.0:test-key',
        plugin: key.plugin,
        section: {},
        generateIfMissing: false,
        isRetiring: false,
      },
    ],
    resolvePath: (path) => path,
  };
  const logLines: Record<string, unknown>[] = [];
  const logger = pino(
    { level: 'info' },
    { write: (line: string) => void logLines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const source: Pick<TestSigner, 'now' | 'sealNow' | 'elapsedMs' | 'ids'> = {
    now: undefined,
    sealNow: undefined,
    elapsedMs: undefined,
    ids: [],
  };
  const sources: Sources = {
    now: () => source.now ?? BigInt(Date.now()) * 1_000_000n,
    sealNow: () => source.sealNow ?? BigInt(Date.now()) * 1_000_000n,
    elapsedMs: () => source.elapsedMs ?? performance.now(),
    randomId: () => source.ids.shift() ?? random.hex(16),
  };
  const { metrics = createMetrics() } = options;
  const signer = await startSigner(config, logger, sources, metrics);
  const admin = await openAdmin(config, pino({ enabled: false }), {
    status: async () => mergeStatuses([await signer.status()], 1, 0),
    metrics: async (format) => renderMetrics([await metrics.json()], format),
  });
  let closed: Promise<void> | undefined;
  const close = async (lameDuckMs?: number): Promise<void> => {
    await signer.close(lameDuckMs);
    await admin?.close();
  };
  key.reset();
  return Object.assign(source, {
    ...signer,
    adminUrl: admin?.url ?? '',
    close: (lameDuckMs?: number) => (closed ??= close(lameDuckMs)),
    key,
    logLines,
    post: async (
      body: string | Uint8Array,
      headers: Record<string, string> = {},
      signal?: AbortSignal,
    ) => {
      const response = await fetch(`${signer.url}/generate-live-payment`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...headers },
        body,
        ...(signal && { signal }),
      });
      return {
        status: response.status,
        headers: response.headers,
        text: await response.text(),
      };
    },
  });
}
