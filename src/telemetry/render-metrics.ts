import { AggregatorRegistry, Registry, type RegistryContentType } from 'prom-client';

/** The metrics of a process as prom-client writes them as JSON. */
export type MetricsSnapshot = readonly object[];

/** Prometheus' own text format, or OpenMetrics. */
export type MetricsFormat = 'prometheus' | 'openmetrics';

/**
 * The metrics of several processes as one text: counters and histograms are summed, gauges are merged as each one's definition
 * says.
 */
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

/** Merges the metrics of several processes into those of one. */
export function mergeSnapshots(snapshots: readonly MetricsSnapshot[]): Promise<MetricsSnapshot> {
  return aggregate(snapshots).getMetricsAsJSON();
}

/**
 * Names counters' families as OpenMetrics does, without the `_total` that their samples have; prom-client adds it to the samples.
 */
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
