import { Counter, Gauge, Registry } from 'prom-client';

/** How delivery to one sink goes at the moment of a scrape. */
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
 * The metrics of the delivery of events, for the process that delivers. The names are livepeer/node's behind this program's
 * prefix, whatever the sink. `read` is called at each scrape.
 */
export function createEventMetrics(read: () => readonly DeliverySample[]): {
  text(): Promise<string>;
} {
  const registry = new Registry();
  const common = { labelNames: ['sink'] as const, registers: [registry] };
  const gauge = (name: string, help: string) =>
    new Gauge({ name: `livepeer_hsm_signer_kafka_${name}`, help, ...common });
  const counter = (name: string, help: string) =>
    new Counter({ name: `livepeer_hsm_signer_kafka_${name}`, help, ...common });

  const pendingEvents = gauge('pending_events', 'Events that wait while the sink takes none');
  const pendingBytes = gauge('pending_bytes', 'Bytes of the audit log not yet delivered');
  const oldestAge = gauge('oldest_event_age_seconds', 'Age of the oldest event that waits');
  const healthy = gauge('outbox_healthy', '1 while events are delivered');
  const published = counter('published_events_total', 'Events that the sink has taken');
  const publishErrors = counter('publish_errors_total', 'Tries that the sink did not take');
  const storageErrors = counter('storage_errors_total', 'Failures to read the log or positions');
  return {
    text() {
      for (const counter of [published, publishErrors, storageErrors]) counter.reset();
      for (const sample of read()) {
        const { sink } = sample;
        pendingEvents.set({ sink }, sample.pendingEvents);
        pendingBytes.set({ sink }, sample.pendingBytes);
        oldestAge.set({ sink }, sample.oldestAgeSeconds);
        healthy.set({ sink }, sample.isHealthy ? 1 : 0);
        published.inc({ sink }, sample.published);
        publishErrors.inc({ sink }, sample.publishErrors);
        storageErrors.inc({ sink }, sample.storageErrors);
      }
      return registry.metrics();
    },
  };
}
