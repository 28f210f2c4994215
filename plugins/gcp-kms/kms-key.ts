import { setTimeout as sleep } from 'node:timers/promises';
import type { KeyManagementServiceClient } from '@google-cloud/kms';
import { CallLimiter } from '../../src/keys/call-limiter.ts';
import { isTimeout } from '../../src/keys/describe-abort.ts';
import { type CallOptions, type ProviderContext, ProviderError } from '../../src/keys/provider.ts';
import { type Config, parseKeyVersion } from './config.ts';
import { crc32c } from './crc32c.ts';
import { isTokenRefused, type Operation, translateError } from './grpc-errors.ts';
import { algorithm } from './key-version.ts';
import { connectClient, type Connection } from './kms-client.ts';
import { type KeyVersion, readKeyVersion, readPublicKey, readSignature } from './replies.ts';

/** The longest pause before the second attempt; it doubles before each further one. */
const firstBackoffMs = 100;
const maxBackoffMs = 1000;

/** One damaged reply, or one token that expired on its way, may be bad luck; a second one is something to look at, not to repeat. */
const maxAttemptsInDoubt = 2;
const isInDoubt = ({ code }: ProviderError): boolean =>
  code === 'PROVIDER_REPLY_INVALID' || code === 'KEY_ACCESS_DENIED';

/** One log line covers all repeated attempts of this time: in an outage there are hundreds a second. */
const logIntervalMs = 1000;

/** Making a key takes longer than using it. */
const createTimeoutMs = 30_000;

/** What google-gax takes beside each request. */
type Attempt = {
  readonly timeout: number;
  readonly signal: AbortSignal;
  readonly retry: { readonly retryCodes: [] };
};

type Call<Reply> = {
  readonly operation: Operation;
  readonly resource: string;
  /** Gives the reply. */
  readonly request: (attempt: Attempt) => Promise<unknown>;
  readonly read: (reply: unknown) => Reply;
};

type Turn = <Result>(work: () => Promise<Result>, signal: AbortSignal) => Promise<Result>;

const atOnce: Turn = (work) => work();

/**
 * One key version and the calls it takes: each with a deadline an attempt, bounded retries, and a checked reply. There is one
 * retry policy, this one; google-gax's and gRPC's are off.
 */
export class KmsKey {
  /** Provider and key version in one line. */
  readonly keyRef: string;
  readonly #connection: Connection;
  readonly #config: Config;
  readonly #context: ProviderContext;
  readonly #limiter: CallLimiter;
  readonly #closing = new AbortController();
  #client: KeyManagementServiceClient;
  /** Start of the first attempt since the last answer. */
  #silentSinceMs: number | undefined;
  /** Attempts repeated since the last line in the log, and when that was. */
  #repeated = 0;
  #loggedAtMs = -Infinity;
  #closed: Promise<void> | undefined;

  private constructor(connection: Connection, config: Config, context: ProviderContext) {
    this.keyRef = `gcp-kms:${config.keyVersion}`;
    this.#connection = connection;
    this.#client = connection.client;
    this.#config = config;
    this.#context = context;
    this.#limiter = new CallLimiter(config);
  }

  /** Connects to the service; the key itself is not looked at yet. Throws what {@link connectClient} throws. */
  static async connect(config: Config, context: ProviderContext): Promise<KmsKey> {
    if (config.insecure) {
      context.log(
        'warn',
        'insecure: Cloud KMS is called without TLS and credentials, for tests only',
        { endpoint: config.endpoint },
      );
    }
    return new KmsKey(await connectClient(config), config, context);
  }

  /** State and attributes of the key version. */
  getVersion(signal: AbortSignal): Promise<KeyVersion> {
    const { keyVersion: name } = this.#config;
    return this.#repeat(
      {
        operation: 'getCryptoKeyVersion',
        resource: name,
        request: async (attempt) => (await this.#client.getCryptoKeyVersion({ name }, attempt))[0],
        read: (reply) => readKeyVersion(reply, name),
      },
      signal,
    );
  }

  /** The public key as an uncompressed SEC1 point, 65 bytes. */
  getPublicKey(signal: AbortSignal): Promise<Uint8Array> {
    const { keyVersion: name } = this.#config;
    return this.#repeat(
      {
        operation: 'getPublicKey',
        resource: name,
        request: async (attempt) => (await this.#client.getPublicKey({ name }, attempt))[0],
        read: (reply) => readPublicKey(reply, name),
      },
      signal,
    );
  }

  /** Signs a 32-byte digest; every attempt waits for its turn. Returns DER. */
  sign(digest: Uint8Array, { signal, turn }: CallOptions): Promise<Uint8Array> {
    const { keyVersion: name } = this.#config;
    const request = {
      name,
      digest: { sha256: digest },
      digestCrc32c: { value: crc32c(digest) },
    };
    return this.#repeat(
      {
        operation: 'asymmetricSign',
        resource: name,
        // Not the client's promise: to decode the details of an error that rejects it, the client parses its whole protocol
        // description, 5 ms on the event loop for each throttled call.
        request: (attempt) =>
          new Promise((resolve, reject) => {
            this.#client.asymmetricSign(request, attempt, (error, reply) =>
              error ? reject(error) : resolve(reply),
            );
          }),
        read: (reply) => readSignature(reply, name),
      },
      signal,
      (work, untilTurn) => this.#limiter.run(work, untilTurn, turn),
    );
  }

  /**
   * Makes the key with its first version, in an HSM. Tried once: after a lost reply a second attempt would find the key that
   * the first one made.
   */
  async create(signal: AbortSignal): Promise<void> {
    const { keyRing, keyId } = parseKeyVersion(this.#config.keyVersion);
    const request = {
      parent: keyRing,
      cryptoKeyId: keyId,
      cryptoKey: {
        purpose: 'ASYMMETRIC_SIGN',
        versionTemplate: { algorithm, protectionLevel: 'HSM' },
      },
    } as const;
    await this.#untilClosed(signal, async (either) => {
      const outcome = await this.#attempt(
        {
          operation: 'createCryptoKey',
          resource: `${keyRing}/cryptoKeys/${keyId}`,
          request: (attempt) => this.#client.createCryptoKey(request, attempt),
          read: () => undefined,
        },
        createTimeoutMs,
        either,
      );
      if (outcome instanceof ProviderError) throw outcome;
    });
  }

  /** Ends the connection; calls under way reject with `PROVIDER_CLOSED`. */
  close(): Promise<void> {
    this.#closing.abort();
    this.#closed ??= this.#client.close();
    return this.#closed;
  }

  #repeat<Reply>(call: Call<Reply>, signal: AbortSignal, inTurn = atOnce): Promise<Reply> {
    const { attemptTimeoutMs, maxAttempts } = this.#config;
    return this.#untilClosed(signal, async (either) => {
      let doubts = 0;
      for (let attempts = 1; ; attempts += 1) {
        const outcome = await inTurn(() => this.#attempt(call, attemptTimeoutMs, either), either);
        if (!(outcome instanceof ProviderError)) return outcome;
        if (isInDoubt(outcome)) doubts += 1;
        const isLast = attempts >= maxAttempts || doubts >= maxAttemptsInDoubt;
        if (isLast || !outcome.retryable) throw outcome;
        this.#noteRepetition(call.operation, outcome);
        await sleep(backoffMs(attempts), undefined, { signal: either });
      }
    });
  }

  #noteRepetition(operation: Operation, { code, details, message }: ProviderError): void {
    this.#repeated += 1;
    const nowMs = performance.now();
    if (nowMs - this.#loggedAtMs < logIntervalMs) return;
    this.#context.log('warn', 'Cloud KMS is asked again', {
      operation,
      code,
      details: details ?? message,
      times: this.#repeated,
    });
    this.#repeated = 0;
    this.#loggedAtMs = nowMs;
  }

  /** One request. Its failure is a result, unless nobody waits for it any more. */
  async #attempt<Reply>(
    { operation, resource, request, read }: Call<Reply>,
    timeout: number,
    signal: AbortSignal,
  ): Promise<Reply | ProviderError> {
    const client = this.#client;
    this.#silentSinceMs ??= performance.now();
    try {
      const reply = await request({ timeout, signal, retry: { retryCodes: [] } });
      this.#silentSinceMs = undefined;
      return read(reply);
    } catch (error) {
      if (client === this.#client) this.#replaceClientIfSilent();
      if (isTokenRefused(error)) this.#connection.refuseToken();
      signal.throwIfAborted();
      return error instanceof ProviderError ? error : translateError(error, operation, resource);
    }
  }

  /**
   * All calls share one connection. When it was forgotten on the way, by a NAT gateway for instance, gRPC notices only after
   * its next ping, half a minute later. Calls that their callers give up count too: with a queue, all may be of that kind.
   */
  #replaceClientIfSilent(): void {
    const silentForMs = performance.now() - (this.#silentSinceMs ?? Infinity);
    if (silentForMs < this.#config.attemptTimeoutMs || this.#closing.signal.aborted) return;
    void this.#client.close();
    this.#client = this.#connection.renew();
    this.#silentSinceMs = undefined;
  }

  /** Runs `work` with a signal that is aborted by the caller or by `close`, and tells which of the two it was. */
  async #untilClosed<Result>(
    signal: AbortSignal,
    work: (either: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const either = AbortSignal.any([signal, this.#closing.signal]);
    try {
      either.throwIfAborted();
      return await work(either);
    } catch (error) {
      if (this.#closing.signal.aborted) throw this.#closedError();
      if (signal.aborted) throw abortedError(signal);
      throw error;
    }
  }

  /** @throws ProviderError when the key is closed or the signal aborted. */
  assertServing(signal: AbortSignal): void {
    if (this.#closing.signal.aborted) throw this.#closedError();
    if (signal.aborted) throw abortedError(signal);
  }

  #closedError(): ProviderError {
    return new ProviderError('PROVIDER_CLOSED', `${this.#config.keyVersion} was closed`);
  }
}

/** Full jitter: anything from nothing to the bound, so that calls throttled together do not come back together. */
function backoffMs(attempts: number): number {
  return Math.random() * Math.min(maxBackoffMs, firstBackoffMs * 2 ** (attempts - 1));
}

function abortedError(signal: AbortSignal): ProviderError {
  return isTimeout(signal)
    ? new ProviderError('PROVIDER_TIMEOUT', 'Cloud KMS did not answer before the deadline', {
        retryable: true,
      })
    : new ProviderError('REQUEST_ABORTED', 'the call of Cloud KMS was aborted by its caller');
}
