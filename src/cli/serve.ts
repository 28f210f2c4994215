import cluster from 'node:cluster';
import { type ProcessStatus, mergeStatuses } from '../admin/signer-status.ts';
import { type AdminListener, openAdmin } from '../compose/admin.ts';
import { startDeliveries } from '../compose/events.ts';
import { workerSlot } from '../compose/this-worker.ts';
import { type Config, loadConfig } from '../config/load.ts';
import { type RunningSigner, startSigner } from '../main.ts';
import { createLineWriter } from '../telemetry/line-writer.ts';
import { type Logger, createLogger } from '../telemetry/logger.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { createPrimaryMetrics } from '../telemetry/primary-metrics.ts';
import { renderMetrics } from '../telemetry/render-metrics.ts';
import { WorkerMetrics } from '../telemetry/worker-metrics.ts';
import { endSoon, onStopSignal } from './stop-signals.ts';
import { answerPrimary, answerTimeoutMs, askWorkers } from './worker-channel.ts';
import { type Started, startWorkers } from './workers.ts';

/** `serve`: runs until SIGINT or SIGTERM, then lets requests under way finish. */
export async function serve(options: { config: string; listen?: string }): Promise<void> {
  const config = await loadConfig(options.config, process.env, options.listen);
  const { server, log } = config.settings;
  const logger = createLogger(log.level, cluster.worker?.id);
  // watched files are then read again; where there are none, nothing is to be done, and the process must not end
  process.on('SIGHUP', () => logger.info('SIGHUP: watched files are read again'));
  if (cluster.isPrimary && server.workers > 1) await serveByWorkers(config, logger);
  else await serveHere(config, logger);
}

/** Serves payments by worker processes; this process does what concerns all of them. */
async function serveByWorkers(config: Config, logger: Logger): Promise<void> {
  const { workers } = config.settings.server;
  await using opened = new AsyncDisposableStack();
  const delivery = await startDelivering(config, logger);
  opened.defer(() => delivery.close());
  const metrics = new WorkerMetrics();
  cluster.on('exit', ({ id }) => metrics.ended(id));
  const admin = await openAdmin(config, logger, {
    status: async () => {
      const heard = await askWorkers('status');
      return mergeStatuses([...heard.values()], workers, answerTimeoutMs);
    },
    metrics: async (format) => {
      const answered = await askWorkers('metrics');
      const own = delivery.metrics({ answering: answered.size, count: workers });
      return renderMetrics([...(await metrics.snapshots(answered)), await own], format);
    },
  });
  opened.defer(() => admin?.close());
  const running = await startWorkers(workers, logger);
  if (!running) return;
  const kept = opened.move();
  void running.allEnded.then(() => kept.disposeAsync()).then(endSoon);
  announce(running.started, admin, logger);
}

/** Serves payments from this process, alone or as one of several workers. */
async function serveHere(config: Config, logger: Logger): Promise<void> {
  const { server } = config.settings;
  await using opened = new AsyncDisposableStack();
  // the channel to the primary process would keep this one alive
  opened.defer(() => void cluster.worker?.disconnect());
  const metrics = createMetrics();
  const running: { signer?: RunningSigner } = {};
  let admin: AdminListener | undefined;
  const status = async (): Promise<ProcessStatus> => running.signer?.status() ?? starting();
  if (cluster.isPrimary) {
    const delivery = await startDelivering(config, logger);
    opened.defer(() => delivery.close());
    admin = await openAdmin(config, logger, {
      status: async () => mergeStatuses([await status()], 1, 0),
      metrics: async (format) => {
        const own = delivery.metrics({ answering: 1, count: 1 });
        return renderMetrics([await metrics.json(), await own], format);
      },
    });
    opened.defer(() => admin?.close());
  } else {
    answerPrimary({ metrics: () => metrics.json(), status });
  }
  const signer = await startSigner(config, logger, undefined, metrics);
  running.signer = signer;
  const { url, checksumAddress, isNewKey } = signer;
  opened.defer(() => logger.info('stopped'));
  const kept = opened.move();
  onStopSignal((signal) => {
    // after Ctrl-C there is no load balancer that should notice first
    const lameDuckMs = signal === 'SIGTERM' ? server.lameDuckMs : 0;
    logger.info({ signal, lameDuckMs }, 'stopping');
    void signer
      .close(lameDuckMs)
      .then(() => kept.disposeAsync())
      .then(endSoon);
  });
  const started: Started = { url, checksumAddress, isNewKey };
  if (cluster.worker) cluster.worker.send(started);
  else announce(started, admin, logger);
}

/** The status of a process before it serves. */
function starting(): ProcessStatus {
  const part = {
    name: 'server',
    isReady: false,
    code: 'SERVER_STARTING',
    reason: 'the signer is starting',
    ageMs: 0,
  };
  return {
    worker: workerSlot(),
    parts: [part],
    keys: [],
    files: {},
    seals: [],
    orchestrators: undefined,
  };
}

function announce(
  { url, checksumAddress, isNewKey }: Started,
  admin: AdminListener | undefined,
  logger: Logger,
): void {
  if (admin) logger.info({ url: admin.url }, 'admin listener');
  // a full disk must not keep it from starting, either
  const output = createLineWriter(1, () => undefined);
  if (isNewKey) output.write(`made a new key for ${checksumAddress}\n`);
  output.write(`livepeer-hsm-signer is listening on ${url} as ${checksumAddress}\n`);
}

/** Delivers events from this process; gives its own metrics. */
async function startDelivering(config: Config, logger: Logger) {
  const deliveries = await startDeliveries(config, logger);
  const metrics = createPrimaryMetrics(() => deliveries.map((delivery) => delivery.status()));
  return {
    metrics: (workers: { answering: number; count: number }) => metrics.json(workers),
    close: async (): Promise<void> => {
      await Promise.all(deliveries.map((delivery) => delivery.close()));
    },
  };
}
