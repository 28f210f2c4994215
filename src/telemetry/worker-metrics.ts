import { type MetricsSnapshot, mergeSnapshots } from './render-metrics.ts';

/**
 * Puts together what workers have counted. The counters of one that does not answer, or has ended, go on counting with what it said last,
 * so that no sum goes down; its gauges count no more.
 */
export class WorkerMetrics {
  readonly #counts = new Map<number, MetricsSnapshot>();
  /** what ended workers had counted when they last answered */
  #ended: MetricsSnapshot[] = [];

  /** A worker has ended, by its number in the cluster. */
  ended(worker: number): void {
    const last = this.#counts.get(worker);
    this.#counts.delete(worker);
    if (last) this.#ended.push(last);
  }

  /** What is to be put together, by what each of the workers that answer says now. */
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
