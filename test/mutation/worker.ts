import { type ChildProcess, fork } from 'node:child_process';
import { EventEmitter } from 'node:events';
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
