import cluster, { type Worker } from 'node:cluster';
import { AggregatorRegistry } from 'prom-client';

/** A worker's metrics as prom-client writes them as JSON. */
type Snapshot = readonly object[];

type Question = { readonly askMetrics: number };
type Reply = { readonly metricsOf: number; readonly snapshot: Snapshot };

/** A worker that has not answered by then is stopped or busy: what it said last counts. */
const answerTimeoutMs = 1_000;

/** Has this worker answer the questions of {@link createWorkerMetrics}. */
export function answerForMetrics(read: () => Promise<readonly object[]>): void {
  process.on('message', (message: Partial<Question>) => {
    if (message.askMetrics === undefined) return;
    const metricsOf = message.askMetrics;
    void read().then((snapshot) => process.send?.({ metricsOf, snapshot }));
  });
}

/**
 * The metrics of all workers as Prometheus text, for their primary: counters summed, and of gauges the largest. A worker that does not
 * answer counts with what it said last; the counters of one that has ended go on counting.
 */
export function createWorkerMetrics(): () => Promise<string> {
  const latest = new Map<number, Snapshot>();
  /** what ended workers had counted when they last answered */
  let ended: Snapshot[] = [];
  let questions = 0;

  cluster.on('exit', ({ id }: Worker) => {
    const last = latest.get(id);
    latest.delete(id);
    if (!last) return;
    ended = [...ended, last.filter((metric) => !('type' in metric) || metric.type !== 'gauge')];
  });

  async function ask(worker: Worker): Promise<void> {
    const question = (questions += 1);
    await new Promise<void>((resolve) => {
      const take = (message: Partial<Reply>): void => {
        if (message.metricsOf !== question || !message.snapshot) return;
        latest.set(worker.id, message.snapshot);
        done();
      };
      const timer = setTimeout(() => done(), answerTimeoutMs);
      const done = (): void => {
        clearTimeout(timer);
        worker.off('message', take).off('exit', done);
        resolve();
      };
      worker.on('message', take).on('exit', done);
      worker.send({ askMetrics: question } satisfies Question, (error) => error && done());
    });
  }

  return async () => {
    const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
    await Promise.all(workers.filter((worker) => worker.isConnected()).map(ask));
    if (ended.length > 1) ended = [await aggregate(ended).getMetricsAsJSON()];
    return aggregate([...latest.values(), ...ended]).metrics();
  };
}

function aggregate(snapshots: readonly Snapshot[]) {
  return AggregatorRegistry.aggregate(snapshots.map((snapshot) => [...snapshot]));
}
