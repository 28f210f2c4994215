import { AggregatorRegistry } from 'prom-client';

/** A process's metrics as prom-client writes them as JSON. */
type Snapshot = readonly object[];

/**
 * Puts the metrics of several workers together: counters summed, and of gauges what each says of itself that it is. The counters of a
 * worker that does not answer, or has ended, go on counting with what it said last, so that no sum goes down; its gauges count no more.
 */
export class WorkerMetrics {
  readonly #counts = new Map<number, Snapshot>();
  /** what ended workers had counted when they last answered */
  #ended: Snapshot[] = [];

  /** A worker has ended, by its number in the cluster. */
  ended(worker: number): void {
    const last = this.#counts.get(worker);
    this.#counts.delete(worker);
    if (last) this.#ended.push(last);
  }

  /** The Prometheus text of all of them, by what each of those that answer says. */
  async text(answered: ReadonlyMap<number, Snapshot>): Promise<string> {
    for (const [worker, snapshot] of answered) this.#counts.set(worker, withoutGauges(snapshot));
    if (this.#ended.length > 1) this.#ended = [await aggregate(this.#ended).getMetricsAsJSON()];
    const silent = [...this.#counts].flatMap(([worker, counts]) =>
      answered.has(worker) ? [] : [counts],
    );
    return aggregate([...answered.values(), ...silent, ...this.#ended]).metrics();
  }
}

function withoutGauges(snapshot: Snapshot): Snapshot {
  return snapshot.filter((metric) => !('type' in metric) || metric.type !== 'gauge');
}

function aggregate(snapshots: readonly Snapshot[]) {
  return AggregatorRegistry.aggregate(snapshots.map((snapshot) => [...snapshot]));
}
