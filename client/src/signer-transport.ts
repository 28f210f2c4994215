import { Backoff, type BackoffOptions } from './backoff.ts';
import { SignerRefusalError, SignerUnreachableError } from './errors.ts';
import {
  bodyText,
  type Exchange,
  exchange,
  type Fetch,
  readErrorCode,
  readErrorMessage,
} from './fetch.ts';

export type SignerTransportOptions = {
  /** Ends with a slash. */
  readonly baseUrl: string;
  /** What each request carries, made anew for each. */
  readonly headers: () => Promise<Readonly<Record<string, string>>>;
  readonly fetch: Fetch | undefined;
  readonly timeoutMs: number;
  readonly backoff: BackoffOptions;
};

export type SignerCall = {
  readonly method: 'GET' | 'POST';
  /** Without a leading slash. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal | undefined;
};

/** Requests to one signer. */
export class SignerTransport {
  readonly #options: SignerTransportOptions;

  constructor(options: SignerTransportOptions) {
    this.#options = options;
  }

  /** One request, whatever its status. Throws {@link SignerUnreachableError} and the reason of an abort. */
  async send({ method, path, headers, body, signal }: SignerCall): Promise<Exchange> {
    const { baseUrl, fetch, timeoutMs } = this.#options;
    const own = await this.#options.headers();
    return exchange({
      party: 'signer',
      fetch,
      url: `${baseUrl}${path}`,
      method,
      headers: {
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
        ...own,
        ...headers,
      },
      body,
      timeoutMs,
      signal,
    });
  }

  /**
   * The text of an answer of 200; tries again while the signer can't be reached or asks to come back later. Throws
   * {@link SignerRefusalError}, {@link SignerUnreachableError} and the reason of an abort.
   */
  async sendUntilAnswered(call: SignerCall): Promise<string> {
    const backoff = new Backoff(this.#options.backoff);
    for (;;) {
      const answer = await this.send(call).catch((error: unknown) => {
        if (error instanceof SignerUnreachableError) return error;
        throw error;
      });
      if (!(answer instanceof SignerUnreachableError) && answer.status === 200) {
        return bodyText(answer);
      }
      const error = answer instanceof SignerUnreachableError ? answer : toRefusal(answer);
      const isForNow = error instanceof SignerUnreachableError || asksToComeBack(error.status);
      const askedMs = error instanceof SignerRefusalError ? error.retryAfterMs : undefined;
      if (!isForNow || !(await backoff.pause(askedMs, call.signal))) throw error;
    }
  }
}

/** Whether the same request may be answered otherwise a little later. */
export function asksToComeBack(status: number): boolean {
  return status === 408 || status === 429 || status === 503;
}

/** The error for an answer that refuses. */
export function toRefusal(answer: Exchange): SignerRefusalError {
  const { status, headers } = answer;
  const text = bodyText(answer);
  return new SignerRefusalError({
    status,
    message: readErrorMessage(text),
    code: readErrorCode(text) ?? headers.get('Livepeer-Signer-Code') ?? undefined,
    requestId: headers.get('X-Request-Id') ?? undefined,
    retryAfterMs: readRetryAfterMs(headers.get('Retry-After')),
  });
}

/** Seconds, or a date. */
function readRetryAfterMs(header: string | null): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header)) return Number(header) * 1000;
  const atMs = Date.parse(header);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - Date.now());
}
