import cluster from 'node:cluster';
import { serveMetrics } from '../admin/metrics-listener.ts';
import { startDeliveries } from '../compose/events.ts';
import { type Config, loadConfig } from '../config/load.ts';
import { overridePrefix } from '../config/overrides.ts';
import { startSigner } from '../main.ts';
import { createEventMetrics } from '../telemetry/event-metrics.ts';
import { type Logger, createLogger } from '../telemetry/logger.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { answerForMetrics, createWorkerMetrics } from '../telemetry/worker-metrics.ts';
import { onStopSignal } from './stop-signals.ts';
import { type Started, startWorkers } from './workers.ts';

/** `serve`: runs until SIGINT or SIGTERM, then lets requests under way finish. */
export async function serve(options: { config: string; listen?: string }): Promise<void> {
  const environment =
    options.listen === undefined
      ? process.env
      : { ...process.env, [`${overridePrefix}SERVER__LISTEN`]: JSON.stringify(options.listen) };
  const config = await loadConfig(options.config, environment);
  const { server, log, metrics: metricsSettings } = config.settings;
  const logger = createLogger(log.level, cluster.worker?.id);
  // whoever watches a file reads it again then; without one there is nothing to do, and no reason to end
  process.on('SIGHUP', () => logger.info('SIGHUP: watched files are read again'));
  if (cluster.isPrimary && server.workers > 1) {
    const delivery = await startDelivering(config, logger);
    if (metricsSettings) {
      const readWorkers = createWorkerMetrics();
      await serveMetrics(metricsSettings.listen, () => delivery.addMetrics(readWorkers()));
    }
    let isStopping = false;
    onStopSignal(() => (isStopping = true));
    cluster.on('exit', () => {
      const isLast = Object.keys(cluster.workers ?? {}).length === 0;
      if (isStopping && isLast) void delivery.close();
    });
    const started = await startWorkers(server.workers, logger);
    if (started) announce(started);
    else await delivery.close();
    return;
  }
  const metrics = createMetrics();
  if (cluster.worker) answerForMetrics(() => metrics.json());
  const delivery = cluster.isPrimary ? await startDelivering(config, logger) : undefined;
  if (metricsSettings && delivery) {
    await serveMetrics(metricsSettings.listen, () => delivery.addMetrics(metrics.text()));
  }
  const signer = await startSigner(config, logger, undefined, metrics).catch((error: unknown) => {
    // the channel to the primary process would keep this one alive
    cluster.worker?.disconnect();
    throw error;
  });
  const { url, checksumAddress, isNewKey } = signer;
  onStopSignal((signal) => {
    // whoever presses Ctrl-C wants no load balancer to notice first
    const lameDuckMs = signal === 'SIGTERM' ? server.lameDuckMs : 0;
    logger.info({ signal, lameDuckMs }, 'stopping');
    void signer.close(lameDuckMs).then(async () => {
      await delivery?.close();
      logger.info('stopped');
      cluster.worker?.disconnect();
    });
  });
  const started: Started = { url, checksumAddress, isNewKey };
  if (cluster.worker) cluster.worker.send(started);
  else announce(started);
}

function announce({ url, checksumAddress, isNewKey }: Started): void {
  if (isNewKey) process.stdout.write(`made a new key for ${checksumAddress}\n`);
  process.stdout.write(`livepeer-hsm-signer is listening on ${url} as ${checksumAddress}\n`);
}

/** Delivers events from this process; their metrics join those that `read` gives. */
async function startDelivering(config: Config, logger: Logger) {
  const deliveries = await startDeliveries(config, logger);
  const metrics = createEventMetrics(() => deliveries.map((delivery) => delivery.status()));
  return {
    addMetrics: async (read: Promise<string>): Promise<string> =>
      deliveries.length === 0 ? read : `${await read}\n${await metrics.text()}`,
    close: async (): Promise<void> => {
      await Promise.all(deliveries.map((delivery) => delivery.close()));
    },
  };
}
