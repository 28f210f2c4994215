import { type ChildProcess, fork } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type PoolOptions, type PoolWorker, type WorkerRequest, distDir } from 'vitest/node';

/**
 * A process in which one test file after the other runs, each with modules of its own but with the packages that are loaded
 * already: to start a process and to load them again takes longer than most tests.
 */
export class LastingProcess {
  readonly events = new EventEmitter().setMaxListeners(0);
  #child: ChildProcess | undefined;
  #isReady = false;
  #waitedMs = 0;
  /** by the file that tells it of a thread */
  readonly #waitedOf = new Map<string, number>();

  start({ env, execArgv }: PoolOptions): void {
    if (this.#child !== undefined) return;
    const child = fork(join(distDir, 'workers/forks.js'), [], {
      env,
      execArgv,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      serialization: 'advanced',
      // a group of its own, so that what the tests started ends with it
      detached: true,
    });
    this.#child = child;
    this.#isReady = false;
    child.on('message', (message) => this.events.emit('message', message));
    child.on('exit', (code, signal) => {
      if (this.#child !== child) return;
      this.#child = undefined;
      this.events.emit('exit', code, signal);
    });
    child.on('error', () => undefined);
  }

  send(message: WorkerRequest): void {
    if (message.type === 'stop') this.#answer('stopped');
    else if (message.type === 'start' && this.#isReady) this.#answer('started');
    else {
      this.#isReady = true;
      this.#child?.send(message);
    }
  }

  #answer(type: 'started' | 'stopped'): void {
    queueMicrotask(() => this.events.emit('message', { __vitest_worker_response__: true, type }));
  }

  /**
   * How long, in milliseconds, it has waited for a processor, or this process, which compiles what it loads: between two looks,
   * as long as the thread that has waited longest. 0 where the kernel does not tell.
   */
  waitedMs(): number {
    const pids = [process.pid, this.#child?.pid].filter((pid) => pid !== undefined);
    let longest = 0;
    for (const path of globSync(pids.map((pid) => `/proc/${pid}/task/*/schedstat`))) {
      const before = this.#waitedOf.get(path) ?? 0;
      const now = readWaitedMs(path);
      this.#waitedOf.set(path, now);
      // one that is less is that of a new thread of the same number
      longest = Math.max(longest, now < before ? now : now - before);
    }
    return (this.#waitedMs += longest);
  }

  /** Ends it and all that it started, in the middle of a run, which fails. */
  kill(): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // it has ended by itself
    }
  }

  /** Ends it between two runs; the next gets a new one. */
  renew(): void {
    this.kill();
    this.#child = undefined;
  }
}

/** 0 where the thread has ended */
function readWaitedMs(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8').split(' ')[1]) / 1e6;
  } catch {
    return 0;
  }
}

/** vitest's view of that process: what vitest ends after each run stays. */
export function poolWorker(lasting: LastingProcess, options: PoolOptions): PoolWorker {
  return {
    name: 'lasting',
    cacheFs: true,
    on: (event, callback) => lasting.events.on(event, callback),
    off: (event, callback) => lasting.events.off(event, callback),
    send: (message) => lasting.send(message),
    deserialize: (data) => data,
    start: () => {
      lasting.start(options);
      return Promise.resolve();
    },
    stop: () => Promise.resolve(),
  };
}
