import { InternalError, isSignerError, type SignerError } from '../errors.ts';
import { CallLimiter } from './call-limiter.ts';
import { describeAbort, isTimeout } from './describe-abort.ts';
import { hungAfterMs } from './key-condition.ts';
import {
  type CallOptions,
  type KeyProvider,
  type ProviderContext,
  ProviderError,
  type ProviderSignature,
} from './provider.ts';
import { publicKeyToAddress, toEthereumSignature } from './signature.ts';

/** One of several providers that hold the same key. */
export type FailoverMember = {
  /** What the log and the statistics call it; unique in its group. */
  readonly name: string;
  /** Opens the key; called again, with pauses, for as long as it fails. */
  open(): Promise<KeyProvider>;
};

/** What a member has done since start. */
export type MemberStatistics = {
  readonly name: string;
  /** Whether it is open and, as far as is known, can sign. */
  readonly healthy: boolean;
  /** Signing calls made to it. */
  readonly calls: number;
  /** Of the calls, those that failed or gave no valid signature. */
  readonly failures: number;
  /** Of the calls, those made because another member was slow with the same digest. */
  readonly hedges: number;
  /** Of the calls, those that were given up because another member's signature came first. */
  readonly discarded: number;
};

/** The reason with which a call is aborted once another member has answered. */
export const lostRace = new ProviderError('REQUEST_ABORTED', 'another key provider signed first');

/** The pause between probes doubles up to this many intervals. */
const maxBackOff = 16;

const latencyWindow = 100;
const minLatencies = 20;
const minHedgeAfterMs = 5;

/** The public key that all members of a group must have: the one that the first of them showed. */
export class PinnedKey {
  #first: { readonly name: string; readonly publicKey: Uint8Array } | undefined;

  /** 65 bytes, uncompressed SEC1. Throws `INTERNAL` before a member has shown its key. */
  get publicKey(): Uint8Array {
    if (this.#first) return this.#first.publicKey;
    throw new InternalError('INTERNAL', 'no key provider has shown its public key yet');
  }

  /** Pins the first key that it sees. Throws `KEY_UNSUITABLE` for any other one. */
  assertSame(name: string, publicKey: Uint8Array): void {
    this.#first ??= { name, publicKey: publicKey.slice() };
    if (Buffer.compare(this.#first.publicKey, publicKey) === 0) return;
    throw new ProviderError(
      'KEY_UNSUITABLE',
      `${name} has the key of ${publicKeyToAddress(publicKey)}, but ${this.#first.name} that of ` +
        `${publicKeyToAddress(this.#first.publicKey)}; give both the same key, or take one out`,
    );
  }
}

/** One provider of a group. It signs, verifies the result, and keeps track of whether the provider can be relied on. */
export class Member {
  readonly name: string;
  readonly #openProvider: () => Promise<KeyProvider>;
  readonly #pinned: PinnedKey;
  readonly #probeIntervalMs: number;
  readonly #prove: (provider: KeyProvider, options: CallOptions) => Promise<void>;
  readonly #log: ProviderContext['log'];
  readonly #counts = { calls: 0, failures: 0, hedges: 0, discarded: 0 };
  readonly #latenciesMs: number[] = [];
  #opening: Promise<KeyProvider> | undefined;
  #key: { readonly provider: KeyProvider; readonly limiter: CallLimiter } | undefined;
  /** `joining` until its key was found to be the pinned one */
  #state: 'joining' | 'healthy' | 'unhealthy' | 'closed' = 'joining';
  /** Whether it failed to sign and has not signed since: until it does, what its device says of itself proves nothing. */
  #mustProve = false;
  #probeTimer: NodeJS.Timeout | undefined;
  #backOff = 1;

  constructor(
    member: FailoverMember,
    group: {
      pinned: PinnedKey;
      probeIntervalMs: number;
      prove: (provider: KeyProvider, options: CallOptions) => Promise<void>;
      log: ProviderContext['log'];
    },
  ) {
    this.name = member.name;
    this.#openProvider = () => member.open();
    this.#pinned = group.pinned;
    this.#probeIntervalMs = group.probeIntervalMs;
    this.#prove = group.prove;
    this.#log = group.log;
  }

  /** How many signing calls it takes at once; undefined before it is open. */
  get concurrency(): number | undefined {
    return this.#key?.provider.concurrency;
  }

  get isHealthy(): boolean {
    return this.#state === 'healthy';
  }

  /** Whether it may be called at all, healthy or not. */
  get isTakenIn(): boolean {
    return this.#state === 'healthy' || this.#state === 'unhealthy';
  }

  get statistics(): MemberStatistics {
    return { name: this.name, healthy: this.isHealthy, ...this.#counts };
  }

  /** The 95th percentile of the last 100 good calls, 5 ms at least; undefined before there were 20. */
  get hedgeAfterMs(): number | undefined {
    const { length } = this.#latenciesMs;
    if (length < minLatencies) return undefined;
    const ascending = this.#latenciesMs.toSorted((a, b) => a - b);
    return Math.max(minHedgeAfterMs, ascending[Math.ceil(length * 0.95) - 1] ?? 0);
  }

  /** Opens the provider if it is not open, asks whether it can serve, and compares its public key. Throws {@link SignerError}. */
  check(signal: AbortSignal): Promise<void> {
    return this.#bounded(signal, async () => {
      const provider = await this.#open();
      await provider.checkHealth?.({ signal });
      this.#pinned.assertSame(this.name, await provider.getPublicKey({ signal }));
    });
  }

  /**
   * Makes it healthy after a {@link Member.check}; where it failed to sign before, it must sign a self-test as well. Throws
   * {@link SignerError}.
   */
  async takeIn(signal: AbortSignal): Promise<void> {
    await this.check(signal);
    if (this.#mustProve) {
      await this.#bounded(signal, async () => this.#prove(await this.#open(), { signal }));
      this.#backOff = 1;
    }
    this.#becomeHealthy();
  }

  /** Stops using it because of `failure`, and tries to take it in again after a pause that grows with each failure. */
  probeLater(failure: unknown): void {
    if (this.#state === 'closed') return;
    clearTimeout(this.#probeTimer);
    const pauseMs = this.#probeIntervalMs * this.#backOff;
    this.#probeTimer = setTimeout(() => void this.#probe(), pauseMs).unref();
    this.#backOff = Math.min(2 * this.#backOff, maxBackOff);
    const message = 'key provider is out of use; it will be probed';
    this.#log('warn', message, { ...this.#describeFailure(failure), pauseMs });
  }

  /** Its statistics and the provider's own attributes; in their place the error, where the provider gives none. */
  async describe(signal: AbortSignal): Promise<Readonly<Record<string, string>>> {
    const provider = this.#key?.provider;
    const attributes = await this.#bounded(signal, async () =>
      provider?.describeKey?.({ signal }),
    ).catch((error: unknown) => ({ error: this.#toSignerError(error).message }));
    const keyRef = provider?.keyRef ?? 'not open yet';
    const rows = { keyRef, healthy: this.isHealthy, ...this.#counts, ...attributes };
    return Object.fromEntries(
      Object.entries(rows).map(([name, value]) => [`${this.name}.${name}`, String(value)]),
    );
  }

  /**
   * Gives r ‖ s, low s, proved to be the pinned key's over `digest`. A failure makes the member unhealthy, unless the call was
   * only throttled. The call ends with `signal`, even where the provider ignores it. Throws {@link SignerError}.
   */
  async sign(
    digest: Uint8Array,
    options: CallOptions,
    { isHedge }: { isHedge: boolean },
  ): Promise<ProviderSignature> {
    const { signal } = options;
    const startedAtMs = performance.now();
    const wasHealthy = this.isHealthy;
    this.#counts.calls += 1;
    if (isHedge) this.#counts.hedges += 1;
    try {
      const signature = await this.#bounded(signal, () => this.#signVerified(digest, options));
      this.#latenciesMs.push(performance.now() - startedAtMs);
      if (this.#latenciesMs.length > latencyWindow) this.#latenciesMs.shift();
      this.#backOff = 1;
      if (!wasHealthy) this.#becomeHealthy();
      return signature;
    } catch (error) {
      const isHung = isTimeout(signal) && performance.now() - startedAtMs >= hungAfterMs;
      if (signal.reason === lostRace) this.#counts.discarded += 1;
      else if (!signal.aborted || isHung) this.#fail(error);
      throw error;
    }
  }

  /** Ends the probes and closes the provider, also one that is still being opened. */
  async close(): Promise<void> {
    this.#state = 'closed';
    clearTimeout(this.#probeTimer);
    await this.#key?.provider.close();
  }

  /** Only one opening runs at a time: where one outlasts a probe, the next probe waits for it. */
  #open(): Promise<KeyProvider> {
    this.#opening ??= this.#openOnce().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #openOnce(): Promise<KeyProvider> {
    const provider = await this.#openProvider();
    if (this.#state === 'closed') {
      await provider.close();
      throw new ProviderError('PROVIDER_CLOSED', `${this.name} was closed while it opened`);
    }
    const limiter = new CallLimiter({
      concurrency: provider.concurrency,
      maxQueued: Number.MAX_SAFE_INTEGER,
    });
    this.#key = { provider, limiter };
    return provider;
  }

  async #signVerified(digest: Uint8Array, options: CallOptions): Promise<ProviderSignature> {
    if (!this.#key) throw new InternalError('INTERNAL', `${this.name} was called before it opened`);
    const { provider, limiter } = this.#key;
    const { signal, turn } = options;
    const reply = await limiter.run(() => provider.signDigest(digest, options), signal, turn);
    const signature = toEthereumSignature(reply, digest, this.#pinned.publicKey);
    return { encoding: 'raw', bytes: signature.subarray(0, 64) };
  }

  async #probe(): Promise<void> {
    try {
      await this.takeIn(AbortSignal.timeout(this.#probeIntervalMs));
    } catch (error) {
      if (this.isHealthy || this.#state === 'closed') return;
      if (this.isTakenIn || mayPass(error)) this.probeLater(error);
      // opening it over and over with a wrong PIN would lock a token
      else this.#log('warn', 'key provider stays out of use', this.#describeFailure(error));
    }
  }

  #becomeHealthy(): void {
    if (this.isHealthy || this.#state === 'closed') return;
    clearTimeout(this.#probeTimer);
    this.#state = 'healthy';
    this.#mustProve = false;
    this.#log('info', 'key provider is in use', { member: this.name });
  }

  #fail(error: unknown): void {
    this.#counts.failures += 1;
    const isThrottled = isSignerError(error) && error.code === 'PROVIDER_THROTTLED';
    if (isThrottled || !this.isHealthy) return;
    this.#state = 'unhealthy';
    this.#mustProve = true;
    this.probeLater(error);
  }

  #describeFailure(error: unknown): Record<string, unknown> {
    const { code, message } = this.#toSignerError(error);
    return { member: this.name, code, error: message };
  }

  /** Runs `work`, and ends with the signal even where the provider ignores it. */
  async #bounded<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(describeAbort(this.name, signal));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    try {
      const result = await Promise.race([aborted.promise, work()]);
      signal.throwIfAborted();
      return result;
    } catch (error) {
      throw signal.aborted ? describeAbort(this.name, signal) : this.#toSignerError(error);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  #toSignerError(error: unknown): SignerError {
    if (isSignerError(error)) return error;
    return new InternalError('INTERNAL', `${this.name} failed in a way it does not explain`, {
      cause: error,
    });
  }
}

/** Whether a provider that failed to open with this error may open later, without a change by the operator. */
export function mayPass(error: unknown): boolean {
  return isSignerError(error) && (error.retryable || error.code === 'PROVIDER_UNAVAILABLE');
}
