import { AggregatorRegistry, Registry, type RegistryContentType } from 'prom-client';

/** The metrics of a process as prom-client writes them as JSON. */
export type MetricsSnapshot = readonly object[];

/** Prometheus' own text format, or OpenMetrics. */
export type MetricsFormat = 'prometheus' | 'openmetrics';

/** The metrics of several processes as one text: counters and histograms summed, gauges as each says that it is. */
export async function renderMetrics(
  snapshots: readonly MetricsSnapshot[],
  format: MetricsFormat,
): Promise<{ readonly contentType: string; readonly text: string }> {
  const contentType =
    format === 'openmetrics' ? Registry.OPENMETRICS_CONTENT_TYPE : Registry.PROMETHEUS_CONTENT_TYPE;
  const registry = aggregate(format === 'openmetrics' ? snapshots.map(nameFamilies) : snapshots);
  registry.setContentType(contentType);
  return { contentType, text: await registry.metrics() };
}

/** The metrics of several processes as if of one. */
export function mergeSnapshots(snapshots: readonly MetricsSnapshot[]): Promise<MetricsSnapshot> {
  return aggregate(snapshots).getMetricsAsJSON();
}

/** OpenMetrics names a counter's family without the `_total` that its samples have, and prom-client's samples get it from there. */
function nameFamilies(snapshot: MetricsSnapshot): MetricsSnapshot {
  return snapshot.map((metric) =>
    'name' in metric && 'type' in metric && metric.type === 'counter'
      ? { ...metric, name: String(metric.name).replace(/_total$/, '') }
      : metric,
  );
}

function aggregate(snapshots: readonly MetricsSnapshot[]): Registry<RegistryContentType> {
  return AggregatorRegistry.aggregate(snapshots.map((snapshot) => [...snapshot]));
}
