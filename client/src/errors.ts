/** What was asked: the signer, or the orchestrator that is paid. */
type Party = 'signer' | 'orchestrator';

type Refusal = {
  readonly status: number;
  readonly message: string;
  readonly code?: string | undefined;
  readonly requestId?: string | undefined;
  readonly retryAfterMs?: number | undefined;
};

/**
 * The signer said no. `status` is the HTTP status, which the protocol defines: 400 and 403 for what is not allowed, 481 for
 * a price above a ceiling, 480 where no fresh terms could be had. `message` is the signer's own.
 *
 * @example
 * ```ts
 * import { createSignerClient, SignerRefusalError } from 'livepeer-remote-signer-client';
 *
 * const client = createSignerClient({ url: 'http://127.0.0.1:7936' });
 * try {
 *   await client.generateLivePayment({ type: 'live', orchestrator: '' });
 * } catch (error) {
 *   if (!(error instanceof SignerRefusalError)) throw error;
 *   console.log(error.status, error.message); // 400 "the signer answered 400: missing orchestrator"
 * }
 * ```
 */
export class SignerRefusalError extends Error {
  override readonly name = 'SignerRefusalError';
  readonly status: number;
  /**
   * The stable code for the reason: that of the webhook which decided, where its answer has one, else the signer's own, where
   * it sends one in `Livepeer-Signer-Code`.
   */
  readonly code: string | undefined;
  /** The answer's `X-Request-Id`, under which the signer's log has the reason. */
  readonly requestId: string | undefined;
  /** How long to wait at least, where the refusal is for now only: 429 and 503. */
  readonly retryAfterMs: number | undefined;

  constructor({ status, message, code, requestId, retryAfterMs }: Refusal) {
    super(`the signer answered ${status}: ${message}`);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * The signer gave no answer in time, or one that is not of the protocol. Nothing is known of what it did: a payment session
 * repeats the very same request, which a signer that remembers its answers does not pay twice.
 *
 * @example
 * ```ts
 * import { createSignerClient, SignerUnreachableError } from 'livepeer-remote-signer-client';
 *
 * const client = createSignerClient({ url: 'http://127.0.0.1:1', maxWaitMs: 0 });
 * const reason = await client.signOrchestratorInfo().catch((error: unknown) => error);
 * console.log(reason instanceof SignerUnreachableError); // true
 * ```
 */
export class SignerUnreachableError extends Error {
  override readonly name = 'SignerUnreachableError';

  constructor(message: string, cause?: unknown) {
    super(`the signer gave no usable answer: ${message}`, { cause });
  }
}

/**
 * The orchestrator said no: to a payment, to a request for its terms, or to one for fresh terms. `message` is its own.
 *
 * @example
 * ```ts
 * import { OrchestratorRefusalError, refreshPayment } from 'livepeer-remote-signer-client';
 * import { orchestratorFetch } from 'livepeer-remote-signer-client/node';
 *
 * try {
 *   await refreshPayment({
 *     url: 'https://orchestrator.example:8935',
 *     sender: '0x73aed7b5deb30222fa896f399d46cc99c7bee57f',
 *     manifestId: 'never-paid',
 *     fetch: orchestratorFetch,
 *   });
 * } catch (error) {
 *   if (!(error instanceof OrchestratorRefusalError)) throw error;
 *   console.log(error.status); // 409: nothing was ever paid under this id
 * }
 * ```
 */
export class OrchestratorRefusalError extends Error {
  override readonly name = 'OrchestratorRefusalError';
  /** HTTP status; for gRPC, the gRPC status. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(`the orchestrator answered ${status}: ${message}`);
    this.status = status;
  }
}

/**
 * The orchestrator gave no answer in time. A payment that was under way stays with its session and is sent again.
 *
 * @example
 * ```ts
 * import { OrchestratorUnreachableError, refreshPayment } from 'livepeer-remote-signer-client';
 *
 * const sender = '0x73aed7b5deb30222fa896f399d46cc99c7bee57f';
 * const reason = await refreshPayment({ url: 'https://127.0.0.1:1', sender, manifestId: 'a1b2c3d4' }).catch(
 *   (error: unknown) => error,
 * );
 * console.log(reason instanceof OrchestratorUnreachableError); // true
 * ```
 */
export class OrchestratorUnreachableError extends Error {
  override readonly name = 'OrchestratorUnreachableError';

  constructor(message: string, cause?: unknown) {
    super(`the orchestrator gave no answer: ${message}`, { cause });
  }
}

/** The error for a party that could not be reached. */
export function unreachable(party: Party, message: string, cause: unknown): Error {
  return party === 'signer'
    ? new SignerUnreachableError(message, cause)
    : new OrchestratorUnreachableError(message, cause);
}
