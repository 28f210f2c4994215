import { setTimeout as delay } from 'node:timers/promises';
import {
  type ProviderContext,
  ProviderError,
  type ProviderSignature,
} from '../../src/keys/provider.ts';
import { toEthereumSignature } from '../../src/keys/signature.ts';
import type { ResolvedConfig } from './config.ts';
import { DeviceThread } from './device-thread.ts';
import { proofDigest, readPublicKey } from './ec-key.ts';
import { DeviceError, isCurable, isPinRefusal, toAbortError, toProviderError } from './errors.ts';
import { ModuleHost } from './module-host.ts';
import type { Connection, Description } from './token.ts';

const openTimeoutMs = 30_000;
/** The time to open where somebody must use a PIN pad or a card. */
const attendedOpenTimeoutMs = 300_000;
const closeTimeoutMs = 2_000;
/** The pause before a token that was not there is looked for again. */
const absentPauseMs = 200;
/** The pauses before each further attempt of one call; when they are used up, the call fails. */
const backoffMs = [0, 50, 100, 200, 400, 800];
/**
 * The pause between two restarts by one session that did not help: other keys on the same module lose their sessions each time.
 */
const restartPauseMs = 500;

type Slot = {
  thread: DeviceThread;
  /** The module's generation that the session belongs to; undefined while there is none. */
  generation: number | undefined;
  isBusy: boolean;
  /** When it last restarted the module, if there was no signature since. */
  restartedAtMs: number;
};

type Log = ProviderContext['log'];

/** The sessions on one key. Each has a thread; a session that is lost is replaced within the call that noticed. */
export class SessionPool {
  readonly #config: ResolvedConfig;
  readonly #log: Log;
  readonly #host: ModuleHost;
  readonly #slots: Slot[] = [];
  readonly #idle: Slot[] = [];
  /** Calls that wait for a session, first come, first served. */
  readonly #waiters = new Set<(slot: Slot) => void>();
  /** The calls' own reject functions, for close. */
  readonly #underWay = new Set<(error: Error) => void>();
  #onAllIdle: (() => void) | undefined;
  #publicKey: Uint8Array | undefined;
  /** Why no login may be tried any more. */
  #loginRefusal: ProviderError | undefined;
  #isTroubled = false;
  #closed: Promise<void> | undefined;

  /**
   * Opens the sessions, as many of `config.sessions` as the token allows, and checks the key; `generate` makes the
   * key pair first. Tries the PIN once. Throws {@link ProviderError}.
   */
  static async open(
    config: ResolvedConfig,
    options: { readonly generate: boolean; readonly log: Log },
  ): Promise<SessionPool> {
    const pool = new SessionPool(config, options.log);
    const signal = AbortSignal.timeout(
      config.pin === undefined ? attendedOpenTimeoutMs : openTimeoutMs,
    );
    try {
      await pool.#unlessEnded(pool.#openAll(options.generate), signal);
      return pool;
    } catch (error) {
      await pool.close();
      throw toProviderError(error, config.keyRef);
    }
  }

  private constructor(config: ResolvedConfig, log: Log) {
    this.#config = config;
    this.#log = log;
    this.#host = ModuleHost.acquire(config.module, config.environment);
  }

  /** How many sessions there are. */
  get size(): number {
    return this.#slots.length;
  }

  /** The public key as read when the pool was opened, 65 bytes. */
  get publicKey(): Uint8Array {
    if (this.#closed !== undefined) throw this.#closedError();
    if (this.#publicKey === undefined) throw new Error('the pool is not open');
    return Uint8Array.from(this.#publicKey);
  }

  /**
   * Signs a digest of 32 bytes in the next free session. A signature of another key is taken for a lost session: an object
   * handle that outlived its session can name any other object. Rejects as {@link SessionPool.describe}.
   */
  sign(digest: Uint8Array, signal: AbortSignal): Promise<ProviderSignature> {
    // a copy of its own: posting a view of a pooled Buffer would send the whole pool to the other thread
    const asked = Uint8Array.from(digest);
    return this.#run(async (thread) => {
      const reply = { encoding: 'raw', bytes: await thread.call('sign', asked) } as const;
      const signature = toEthereumSignature(reply, asked, this.publicKey);
      this.#noteSignature();
      const recoveryId = signature[64] === 28 ? 1 : 0;
      return { encoding: 'raw', bytes: signature.slice(0, 64), recoveryId };
    }, signal);
  }

  /** Asks token and session whether they are there; no proof that they sign. Rejects as {@link SessionPool.describe}. */
  check(signal: AbortSignal): Promise<void> {
    return this.#run((thread) => thread.call('check', undefined), signal);
  }

  /**
   * Reads what the token tells of key and token, in the next free session. Rejects with a {@link ProviderError}; at once when
   * `signal` is aborted, while the session stays taken until the device has returned.
   */
  describe(signal: AbortSignal): Promise<Description> {
    return this.#run((thread) => thread.call('describe', undefined), signal);
  }

  /** Rejects all calls, ends sessions and threads. A call that hangs in the device delays it by seconds at most. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #run<Result>(
    work: (thread: DeviceThread) => Promise<Result>,
    signal: AbortSignal,
  ): Promise<Result> {
    const slot = await this.#take(signal);
    const attempts = this.#attempt(slot, work, signal).finally(() => this.#give(slot));
    return this.#unlessEnded(attempts, signal);
  }

  async #openAll(generate: boolean): Promise<void> {
    const { sessions } = this.#config;
    const first = this.#addSlot();
    const { maxSessions = sessions } = await this.#connectFirst(first, generate);
    const others = Array.from({ length: Math.min(sessions, maxSessions) - 1 }, () =>
      this.#addSlot(),
    );
    for (const slot of others) {
      try {
        await this.#connect(slot);
      } catch (error) {
        if (!(error instanceof DeviceError && error.ckr === 'CKR_SESSION_COUNT')) throw error;
        await this.#dropUnconnected();
        break;
      }
    }
    if (this.size < sessions) {
      this.#log('warn', 'the PKCS#11 token allows fewer sessions than configured', {
        key: this.#config.keyRef,
        configured: sessions,
        opened: this.size,
      });
    }
    this.#idle.push(...this.#slots);
  }

  /**
   * SoftHSM does not show a token that another process is writing to, as each does at its login, until it is initialised
   * again. Sessions of other keys would be lost by that.
   */
  async #connectFirst(slot: Slot, generate: boolean): Promise<Connection> {
    try {
      return await this.#connect(slot, generate);
    } catch (error) {
      const isAbsent = error instanceof ProviderError && error.code === 'KEY_NOT_FOUND';
      if (!isAbsent || this.#host.isShared) throw error;
      await delay(absentPauseMs);
      await this.#host.restart(this.#host.generation, slot.thread);
      return await this.#connect(slot, generate);
    }
  }

  #addSlot(): Slot {
    const slot = {
      thread: new DeviceThread(this.#host.path),
      generation: undefined,
      isBusy: false,
      restartedAtMs: -Infinity,
    };
    this.#slots.push(slot);
    return slot;
  }

  async #dropUnconnected(): Promise<void> {
    const dropped = this.#slots.filter(({ generation }) => generation === undefined);
    this.#slots.length -= dropped.length;
    await Promise.all(dropped.map(({ thread }) => thread.terminate()));
  }

  async #take(signal: AbortSignal): Promise<Slot> {
    if (this.#closed !== undefined) throw this.#closedError();
    if (signal.aborted) throw toAbortError(signal, this.#config.keyRef);
    const slot = this.#idle.pop();
    if (slot !== undefined) {
      slot.isBusy = true;
      return slot;
    }
    const { promise, resolve } = Promise.withResolvers<Slot>();
    this.#waiters.add(resolve);
    try {
      return await this.#unlessEnded(promise, signal);
    } catch (error) {
      // a session handed over in the moment of the abort goes to the next one
      if (!this.#waiters.delete(resolve)) void promise.then((slot) => this.#give(slot));
      throw error;
    }
  }

  #give(slot: Slot): void {
    const [next] = this.#waiters;
    if (next === undefined) {
      slot.isBusy = false;
      this.#idle.push(slot);
      if (this.#idle.length === this.size) this.#onAllIdle?.();
    } else {
      this.#waiters.delete(next);
      next(slot);
    }
  }

  async #attempt<Result>(
    slot: Slot,
    work: (thread: DeviceThread) => Promise<Result>,
    signal: AbortSignal,
  ): Promise<Result> {
    for (let attempt = 0; ; attempt += 1) {
      const generation = this.#host.generation;
      try {
        if (this.#closed !== undefined) throw this.#closedError();
        if (slot.generation !== generation) await this.#connect(slot);
        const { thread } = slot;
        return await this.#host.use(slot.generation, () => work(thread));
      } catch (error) {
        if (!isCurable(error)) throw toProviderError(error, this.#config.keyRef);
        this.#noteFailure(error);
        const wait = backoffMs[attempt];
        if (wait === undefined) throw this.#unavailable(error);
        await delay(wait);
        if (signal.aborted || this.#closed !== undefined) throw this.#unavailable(error);
        // the first cure is gentle: the other sessions may be well
        if (attempt > 0 && mayRestart(slot)) await this.#restart(slot, generation);
        else await this.#disconnect(slot);
      }
    }
  }

  /** Opens the slot's session: login if the process is not logged in, key found, public key the same as ever. */
  #connect(slot: Slot, generate = false): Promise<Connection> {
    const { keyRef, target, pin, allowExtractable } = this.#config;
    return this.#host.serially(async () => {
      if (this.#closed !== undefined) throw this.#closedError();
      if (this.#loginRefusal !== undefined) throw this.#loginRefusal;
      if (slot.thread.hasEnded) slot.thread = new DeviceThread(this.#host.path);
      await this.#host.initialise(slot.thread);
      const ownsSession = slot.generation === this.#host.generation;
      slot.generation = undefined;
      try {
        const request = { keyRef, target, pin: pin?.reveal(), ownsSession, generate };
        const connection = await slot.thread.call('connect', request);
        const known = this.#publicKey;
        const prove = () => this.#prove(slot.thread);
        this.#pinPublicKey(
          await readPublicKey(connection.key, { keyRef, allowExtractable, known, prove }),
        );
        slot.generation = this.#host.generation;
        return connection;
      } catch (error) {
        await slot.thread.call('disconnect', true);
        if (isPinRefusal(error)) this.#loginRefusal = toProviderError(error, keyRef);
        throw error;
      }
    });
  }

  /** One signature that no audit record tells of, where a token has several public keys for the key. */
  #prove(thread: DeviceThread): Promise<Uint8Array> {
    this.#log(
      'warn',
      'the PKCS#11 token has several public keys for the key; it signs to show its own',
      {
        key: this.#config.keyRef,
      },
    );
    return thread.call('sign', proofDigest);
  }

  #pinPublicKey(publicKey: Uint8Array): void {
    this.#publicKey ??= publicKey;
    if (Buffer.from(publicKey).equals(this.#publicKey)) return;
    throw new ProviderError(
      'KEY_UNSUITABLE',
      `${this.#config.keyRef}: the key on the token is no longer the one read at start; restart if it was replaced on purpose`,
    );
  }

  #disconnect(slot: Slot): Promise<void> {
    return this.#host.serially(async () => {
      const ownsSession = slot.generation === this.#host.generation;
      slot.generation = undefined;
      if (!slot.thread.hasEnded) await slot.thread.call('disconnect', ownsSession);
    });
  }

  /** A restart that fails is not the end: the next attempt meets the same failure, or a device that is back. */
  async #restart(slot: Slot, generation: number): Promise<void> {
    slot.generation = undefined;
    try {
      await this.#host.restart(generation, slot.thread);
    } catch (error) {
      this.#noteFailure(error);
    }
  }

  /** An outage is two lines in the log, however many calls it meets. */
  #noteFailure(error: unknown): void {
    if (this.#isTroubled || this.#closed !== undefined) return;
    this.#isTroubled = true;
    const { code, message, details } = toProviderError(error, this.#config.keyRef);
    this.#log('warn', 'the PKCS#11 device failed a call; its sessions are being replaced', {
      key: this.#config.keyRef,
      code,
      reason: details ?? message,
    });
  }

  #noteSignature(): void {
    for (const slot of this.#slots) slot.restartedAtMs = -Infinity;
    if (!this.#isTroubled) return;
    this.#isTroubled = false;
    this.#log('info', 'the PKCS#11 device serves again', { key: this.#config.keyRef });
  }

  async #close(): Promise<void> {
    this.#waiters.clear();
    for (const end of this.#underWay) end(this.#closedError());
    const allIdle = Promise.withResolvers<undefined>();
    this.#onAllIdle = () => allIdle.resolve(undefined);
    if (this.#slots.every(({ isBusy }) => !isBusy)) this.#onAllIdle();
    await within(closeTimeoutMs, allIdle.promise);
    const released = this.#host.serially(() => this.#releaseModule());
    if (!(await within(closeTimeoutMs, released))) {
      this.#log(
        'warn',
        'a call to the PKCS#11 device does not return; its session was not closed',
        { key: this.#config.keyRef },
      );
    }
    await within(closeTimeoutMs, Promise.all(this.#slots.map(({ thread }) => thread.terminate())));
  }

  async #releaseModule(): Promise<void> {
    const free = this.#slots.filter(({ isBusy, thread }) => !isBusy && !thread.hasEnded);
    for (const { thread, generation } of free) {
      if (generation === undefined) continue;
      await thread.call('disconnect', generation === this.#host.generation);
    }
    await this.#host.release(free.map(({ thread }) => thread));
  }

  /** The result of `work`, or a rejection as soon as `signal` is aborted or the pool is closed. */
  #unlessEnded<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) reject(this.#closedError());
      if (signal.aborted) reject(toAbortError(signal, this.#config.keyRef));
      const onAbort = (): void => reject(toAbortError(signal, this.#config.keyRef));
      this.#underWay.add(reject);
      signal.addEventListener('abort', onAbort);
      const settle = (): void => {
        this.#underWay.delete(reject);
        signal.removeEventListener('abort', onAbort);
      };
      work.then(resolve, reject).finally(settle);
    });
  }

  #closedError(): ProviderError {
    return new ProviderError('PROVIDER_CLOSED', `${this.#config.keyRef}: the key was closed`);
  }

  #unavailable(error: unknown): ProviderError {
    const failure = toProviderError(error, this.#config.keyRef);
    if (failure.code === 'PROVIDER_UNAVAILABLE' || failure.code === 'PROVIDER_REPLY_INVALID') {
      return failure;
    }
    return new ProviderError(
      'PROVIDER_UNAVAILABLE',
      `${this.#config.keyRef}: the token or its key is not there any more; check the device and its connection`,
      { details: failure.message, retryable: true },
    );
  }
}

/** Whether `work` succeeded within the time; its failure counts as no. */
async function within(timeoutMs: number, work: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController();
  const limit = delay(timeoutMs, false, { signal: timer.signal }).catch(() => false);
  const done = work.then(
    () => true,
    () => false,
  );
  const isDone = await Promise.race([done, limit]);
  timer.abort();
  return isDone;
}

function mayRestart(slot: Slot): boolean {
  const nowMs = performance.now();
  if (nowMs - slot.restartedAtMs < restartPauseMs) return false;
  slot.restartedAtMs = nowMs;
  return true;
}
