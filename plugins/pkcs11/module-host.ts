import { realpathSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { ProviderError } from '../../src/keys/provider.ts';
import type { DeviceThread } from './device-thread.ts';
import { DeviceError } from './errors.ts';

const quietTimeoutMs = 2_000;
const hosts = new Map<string, ModuleHost>();

/**
 * What this process knows of one PKCS#11 library. C_Initialize, C_Finalize and the login are per process, so all
 * providers on one library share this record: it keeps threads out of the module while it is restarted, and counts
 * how often it was initialised, because handles do not outlive that. Some libraries (p11-kit-client.so) give each
 * thread that loads them an instance and a connection of its own; there, a restart concerns one thread only.
 */
export class ModuleHost {
  readonly path: string;
  #environment = '';
  #users = 0;
  #generation = 0;
  #instances: 'unknown' | 'shared' | 'per thread' = 'unknown';
  /** The thread that initialised the shared instance; undefined when that was not this host's doing. */
  #initialiser: DeviceThread | undefined;
  #active = 0;
  #onQuiet: (() => void) | undefined;
  #barrier: Promise<void> | undefined;
  #queue: Promise<unknown> = Promise.resolve();

  /**
   * The host of the library at `path`, with one user more; `release` takes it back. `environment` is set before the
   * library is first used. Throws `PROVIDER_MISSING` when the library runs with another environment already.
   */
  static acquire(path: string, environment: Readonly<Record<string, string>>): ModuleHost {
    const key = realPathOf(path);
    const host = hosts.get(key) ?? new ModuleHost(key);
    const wanted = JSON.stringify(Object.entries(environment).sort());
    if (host.#users > 0 && host.#environment !== wanted) {
      throw new ProviderError(
        'PROVIDER_MISSING',
        `the PKCS#11 library ${path} is in use in this process with another environment: give all keys on it the same one`,
      );
    }
    // the main thread's process.env reaches getenv(); a worker's is a copy that does not
    Object.assign(process.env, environment);
    hosts.set(key, host);
    host.#environment = wanted;
    host.#users += 1;
    return host;
  }

  private constructor(path: string) {
    this.path = path;
  }

  /** Whether other keys are on this library too. */
  get isShared(): boolean {
    return this.#users > 1;
  }

  /** Changes each time the module is initialised: a handle of another generation is void. */
  get generation(): number {
    return this.#generation;
  }

  /** Initialises the module for `thread`, unless it is initialised. To be called within {@link serially}. */
  async initialise(thread: DeviceThread): Promise<void> {
    const witness = this.#initialiser;
    const canTell = witness !== undefined && witness !== thread && !witness.hasEnded;
    if (this.#instances === 'unknown' && canTell) {
      if (await witness.call('initialise', undefined)) this.#generation += 1;
      const isFresh = await thread.call('initialise', undefined);
      this.#instances = isFresh ? 'per thread' : 'shared';
    } else if (await thread.call('initialise', undefined)) {
      if (this.#instances === 'per thread') return;
      this.#generation += 1;
      this.#initialiser = thread;
    }
  }

  /**
   * Runs a call on a session of `generation`; waits while the module is being restarted, and rejects with
   * CKR_SESSION_CLOSED when the session did not outlive that.
   */
  async use<T>(generation: number | undefined, call: () => Promise<T>): Promise<T> {
    while (this.#barrier !== undefined) await this.#barrier;
    if (generation !== this.#generation) {
      throw new DeviceError('CKR_SESSION_CLOSED', 'C_OpenSession');
    }
    this.#active += 1;
    try {
      return await call();
    } finally {
      this.#active -= 1;
      if (this.#active === 0) this.#onQuiet?.();
    }
  }

  /** Runs steps that open, log in or close one at a time, so that no two threads try a PIN together. */
  serially<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(step);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  /**
   * Restarts the module with no thread inside it, unless it was restarted since `generation`. Throws
   * `PROVIDER_UNAVAILABLE` when a call does not return in time: to finalise under it would crash the process.
   */
  restart(generation: number, thread: DeviceThread): Promise<void> {
    return this.serially(async () => {
      if (this.#instances === 'per thread') {
        await thread.call('restart', undefined);
      } else if (generation === this.#generation) {
        await this.#alone(async () => {
          this.#generation += 1;
          this.#initialiser = thread;
          await thread.call('restart', undefined);
        });
      }
    });
  }

  /**
   * Gives up one use, whose threads are `threads`; the last use of a module that was initialised here finalises it.
   * To be called within {@link serially}.
   */
  async release(threads: readonly DeviceThread[]): Promise<void> {
    this.#users -= 1;
    const [thread] = threads;
    try {
      if (this.#instances === 'per thread') {
        await Promise.all(threads.map((each) => each.call('finalise', undefined)));
      } else if (this.#users === 0 && this.#initialiser !== undefined && thread !== undefined) {
        await this.#alone(async () => {
          this.#generation += 1;
          await thread.call('finalise', undefined);
        });
      }
    } finally {
      if (this.#users === 0) {
        this.#initialiser = undefined;
        this.#instances = 'unknown';
      }
    }
  }

  async #alone(run: () => Promise<void>): Promise<void> {
    let open = (): void => undefined;
    this.#barrier = new Promise((resolve) => (open = resolve));
    try {
      await this.#quiet();
      await run();
    } finally {
      this.#barrier = undefined;
      open();
    }
  }

  async #quiet(): Promise<void> {
    if (this.#active === 0) return;
    const timer = new AbortController();
    const isQuiet = await Promise.race([
      new Promise<true>((resolve) => (this.#onQuiet = () => resolve(true))),
      delay(quietTimeoutMs, false, { signal: timer.signal }).catch(() => false),
    ]);
    timer.abort();
    this.#onQuiet = undefined;
    if (isQuiet) return;
    throw new ProviderError(
      'PROVIDER_UNAVAILABLE',
      'the PKCS#11 module needs a restart, but a call in it does not return',
      { retryable: true },
    );
  }
}

function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // loading it will say what is wrong
  }
}
