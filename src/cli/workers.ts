import cluster, { type Worker } from 'node:cluster';
import { workerVariables } from '../compose/this-worker.ts';
import { isDiscoveryMessage } from '../discovery/snapshot-messages.ts';
import type { Logger } from '../telemetry/logger.ts';
import { onStopSignal } from './stop-signals.ts';

/** What a worker reports when it takes requests. */
export type Started = {
  readonly url: string;
  readonly checksumAddress: string;
  readonly isNewKey: boolean;
};

/**
 * V8 would let the space for new objects grow to several times this size. It can't be set once a process runs; without workers,
 * whoever starts the program sets it.
 */
const smallNewSpace = '--max-semi-space-size=16';

const firstPauseMs = 1_000;
const longestPauseMs = 30_000;
/** A worker that has run for this long did not fail at its start. */
const soundAfterMs = 60_000;
const exitFailure = 1;

type Phase = 'starting' | 'serving' | 'stopping';

export type Workers = {
  /** the report of the first worker */
  readonly started: Started;
  /** Resolves once the workers were told to stop, and all have ended. */
  readonly allEnded: Promise<undefined>;
};

/**
 * Runs this program again in `count` processes that share the port, and passes signals on to them. The first one starts alone,
 * because it may have to create the key; when one of them does not start, all end, with its exit code. After that, each one that
 * ends is replaced, after 1 s, 2 s … 30 s while they keep ending. Resolves once all take requests, or with undefined when they
 * end before that.
 */
export async function startWorkers(count: number, logger: Logger): Promise<Workers | undefined> {
  let phase = 'starting' as Phase;
  let pauseMs = firstPauseMs;
  const forkedAtMs = new Map<number, number>();
  /** by the workers' numbers in the cluster */
  const slots = new Map<number, number>();
  /** the timers that start the next worker of a slot */
  const replacements = new Map<number, NodeJS.Timeout>();
  const ended = Promise.withResolvers<undefined>();
  const allEnded = Promise.withResolvers<undefined>();

  cluster.setupPrimary({ execArgv: [...process.execArgv, smallNewSpace] });
  const fork = (slot: number): Worker => {
    const worker = cluster.fork({
      [workerVariables.slot]: slot,
    });
    slots.set(worker.id, slot);
    return worker;
  };

  const stop = (signal: NodeJS.Signals): void => {
    phase = 'stopping';
    ended.resolve(undefined);
    for (const timer of replacements.values()) clearTimeout(timer);
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill(signal);
    noteEnd();
  };
  /** There may be no worker when the signal comes: all may have ended, and wait to be replaced. */
  const noteEnd = (): void => {
    if (phase === 'stopping' && slots.size === 0) allEnded.resolve(undefined);
  };
  onStopSignal((signal) => {
    logger.info({ signal }, 'stopping workers');
    stop(signal);
  });

  // a worker that is not listening yet reads its files anyway, and would be killed by the signal
  const listening = new Set<Worker>();
  cluster.on('listening', (worker) => listening.add(worker));
  process.on('SIGHUP', () => {
    for (const worker of listening) worker.process.kill('SIGHUP');
  });

  cluster.on('fork', ({ id }) => forkedAtMs.set(id, performance.now()));
  cluster.on('exit', (worker: Worker, code: number | null, signal: string | null) => {
    const { id } = worker;
    listening.delete(worker);
    const livedMs = performance.now() - (forkedAtMs.get(id) ?? 0);
    forkedAtMs.delete(id);
    const slot = slots.get(id) ?? 1;
    slots.delete(id);
    if (phase === 'starting') {
      process.exitCode = code ?? exitFailure;
      stop('SIGINT');
    }
    noteEnd();
    if (phase !== 'serving') return;
    if (livedMs >= soundAfterMs) pauseMs = firstPauseMs;
    logger.error({ worker: id, code, signal, pauseMs }, 'worker ended; it will be replaced');
    replacements.set(
      slot,
      setTimeout(() => fork(slot), pauseMs),
    );
    pauseMs = Math.min(2 * pauseMs, longestPauseMs);
  });

  shareDiscovery();
  const start = (slot: number) =>
    new Promise<Started>((resolve) => {
      fork(slot).on('message', (message: object) => {
        if (isStarted(message)) resolve(message);
      });
    });
  const first = await Promise.race([start(1), ended.promise]);
  if (!first) return undefined;
  const others = Promise.all(Array.from({ length: count - 1 }, (_, index) => start(index + 2)));
  if (!(await Promise.race([others, ended.promise]))) return undefined;
  phase = 'serving';
  return { started: first, allEnded: allEnded.promise };
}

/** Whether a worker's message is this one. */
function isStarted(message: object): message is Started {
  return 'checksumAddress' in message;
}

/** Passes on what one worker knows of orchestrators to the others, and to any worker that asks. */
function shareDiscovery(): void {
  let last: object | undefined;
  const send = (worker: Worker, message: object): void => {
    // a worker that is just ending needs none
    if (worker.isConnected()) worker.send(message, () => undefined);
  };
  cluster.on('message', (from: Worker, message: unknown) => {
    if (!isDiscoveryMessage(message)) return;
    if (message.kind === 'discovery-wanted') {
      if (last) send(from, last);
      return;
    }
    last = message;
    for (const worker of Object.values(cluster.workers ?? {})) {
      if (worker && worker !== from) send(worker, message);
    }
  });
}
