import { type MetricsSnapshot, mergeSnapshots } from './render-metrics.ts';

/**
 * Merges what workers have counted. The counters of a worker that does not answer, or has ended, keep their last known values, so
 * that no sum decreases; its gauges count no more.
 */
export class WorkerMetrics {
  readonly #counts = new Map<number, MetricsSnapshot>();
  /** what ended workers had counted when they last answered */
  #ended: MetricsSnapshot[] = [];

  /** To be called when a worker has ended, with its number in the cluster. */
  ended(worker: number): void {
    const last = this.#counts.get(worker);
    this.#counts.delete(worker);
    if (last) this.#ended.push(last);
  }

  /** The snapshots to merge, given those of the workers that have answered. */
  async snapshots(
    answered: ReadonlyMap<number, MetricsSnapshot>,
  ): Promise<readonly MetricsSnapshot[]> {
    for (const [worker, snapshot] of answered) this.#counts.set(worker, withoutGauges(snapshot));
    if (this.#ended.length > 1) this.#ended = [await mergeSnapshots(this.#ended)];
    const silent = [...this.#counts].flatMap(([worker, counts]) =>
      answered.has(worker) ? [] : [counts],
    );
    return [...answered.values(), ...silent, ...this.#ended];
  }
}

function withoutGauges(snapshot: MetricsSnapshot): MetricsSnapshot {
  return snapshot.filter((metric) => !('type' in metric) || metric.type !== 'gauge');
}
