import cluster, { type Worker } from 'node:cluster';
import type { Logger } from '../ops/logger.ts';
import { onStopSignal } from './stop-signals.ts';

/** What a worker tells when it takes requests. */
export type Started = {
  readonly url: string;
  readonly checksumAddress: string;
  readonly isNewKey: boolean;
};

const firstPauseMs = 1_000;
const longestPauseMs = 30_000;
/** A worker that has lived so long did not die of its start. */
const soundAfterMs = 60_000;
const exitFailure = 1;

type Phase = 'starting' | 'serving' | 'stopping';

/**
 * Runs this program again in `count` processes that share the port, and hands signals on to them. The first one starts
 * alone, because it may have to make the key; when one of them does not start, all end, with its exit code. From then on
 * whichever ends is replaced, after 1 s, 2 s … 30 s while they keep ending. Gives what the first one said once all take
 * requests; undefined when they end before.
 */
export async function startWorkers(count: number, logger: Logger): Promise<Started | undefined> {
  let phase = 'starting' as Phase;
  let pauseMs = firstPauseMs;
  const forkedAtMs = new Map<number, number>();
  const ended = Promise.withResolvers<undefined>();

  const stop = (): void => {
    phase = 'stopping';
    ended.resolve(undefined);
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGTERM');
  };
  onStopSignal((signal) => {
    logger.info({ signal }, 'stopping workers');
    stop();
  });

  cluster.on('fork', ({ id }) => forkedAtMs.set(id, performance.now()));
  cluster.on('exit', ({ id }: Worker, code: number | null, signal: string | null) => {
    const livedMs = performance.now() - (forkedAtMs.get(id) ?? 0);
    forkedAtMs.delete(id);
    if (phase === 'starting') {
      process.exitCode = code ?? exitFailure;
      stop();
    }
    if (phase !== 'serving') return;
    if (livedMs >= soundAfterMs) pauseMs = firstPauseMs;
    logger.error({ worker: id, code, signal, pauseMs }, 'worker ended; it will be replaced');
    setTimeout(() => phase === 'serving' && cluster.fork(), pauseMs);
    pauseMs = Math.min(2 * pauseMs, longestPauseMs);
  });

  const start = () =>
    new Promise<Started>((resolve) => {
      cluster.fork().once('message', (started: Started) => resolve(started));
    });
  const first = await Promise.race([start(), ended.promise]);
  if (!first) return undefined;
  const others = Promise.all(Array.from({ length: count - 1 }, start));
  if (!(await Promise.race([others, ended.promise]))) return undefined;
  phase = 'serving';
  return first;
}
