import { MetricRegistry } from './metric-registry.ts';
import { primaryMetrics } from './metric-table.ts';
import type { MetricsSnapshot } from './render-metrics.ts';

/** The state of the delivery to one sink at the moment of a scrape. */
export type DeliverySample = {
  readonly sink: string;
  readonly isHealthy: boolean;
  readonly pendingEvents: number;
  readonly pendingBytes: number;
  readonly oldestAgeSeconds: number;
  readonly published: number;
  readonly publishErrors: number;
  readonly storageErrors: number;
};

/**
 * The metrics of the process that delivers events and answers operators. Those of the delivery have livepeer/node's names behind
 * this program's prefix, whatever the sink. `readDeliveries` is called at each scrape; `json` is told how many of the workers
 * have answered.
 */
export function createPrimaryMetrics(readDeliveries: () => readonly DeliverySample[]): {
  json(workers: { readonly answering: number; readonly count: number }): Promise<MetricsSnapshot>;
} {
  const registry = new MetricRegistry(primaryMetrics);
  const workerStates = registry.gauge('livepeer_hsm_signer_workers');
  const pendingEvents = registry.gauge('livepeer_hsm_signer_kafka_pending_events');
  const pendingBytes = registry.gauge('livepeer_hsm_signer_kafka_pending_bytes');
  const oldestAge = registry.gauge('livepeer_hsm_signer_kafka_oldest_event_age_seconds');
  const healthy = registry.gauge('livepeer_hsm_signer_kafka_outbox_healthy');
  const published = registry.counter('livepeer_hsm_signer_kafka_published_events_total');
  const publishErrors = registry.counter('livepeer_hsm_signer_kafka_publish_errors_total');
  const storageErrors = registry.counter('livepeer_hsm_signer_kafka_storage_errors_total');
  return {
    json({ answering, count }) {
      workerStates.set({ state: 'answering' }, answering);
      workerStates.set({ state: 'silent' }, count - answering);
      for (const counter of [published, publishErrors, storageErrors]) counter.reset();
      for (const sample of readDeliveries()) {
        const { sink } = sample;
        pendingEvents.set({ sink }, sample.pendingEvents);
        pendingBytes.set({ sink }, sample.pendingBytes);
        oldestAge.set({ sink }, sample.oldestAgeSeconds);
        healthy.set({ sink }, sample.isHealthy ? 1 : 0);
        published.inc({ sink }, sample.published);
        publishErrors.inc({ sink }, sample.publishErrors);
        storageErrors.inc({ sink }, sample.storageErrors);
      }
      return registry.json();
    },
  };
}
