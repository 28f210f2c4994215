import { unreachable } from './errors.ts';
import { asObject, tryParseJson } from './wire/json.ts';

/** What this package asks of a `fetch`: the global one, or one that you hand in. */
export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

export type ExchangeOptions = {
  readonly party: 'signer' | 'orchestrator';
  readonly fetch: Fetch | undefined;
  readonly url: string;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
};

export type Exchange = {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
};

/**
 * One request and its whole answer, within `timeoutMs`. Throws what `signal` was aborted with, and the error for a party that
 * can't be reached.
 */
export async function exchange(options: ExchangeOptions): Promise<Exchange> {
  const { party, url, method, headers, body, timeoutMs, signal } = options;
  signal?.throwIfAborted();
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await (options.fetch ?? fetch)(url, {
      method,
      headers,
      ...(body !== undefined && { body }),
      // headers of one's own go along with a redirect, to whatever host it names
      redirect: 'error',
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    const content = new Uint8Array(await response.arrayBuffer());
    return { status: response.status, headers: response.headers, body: content };
  } catch (cause) {
    signal?.throwIfAborted();
    const { origin } = new URL(url);
    throw unreachable(
      party,
      timeout.aborted ? `none from ${origin} in ${timeoutMs} ms` : `${origin}: ${describe(cause)}`,
      cause,
    );
  }
}

function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.cause instanceof Error ? cause.cause.message : cause.message;
}

/** The text of an answer. */
export function bodyText({ body }: Exchange): string {
  return new TextDecoder().decode(body);
}

/** What an error answer says: go-livepeer's and livepeer/node's JSON, or plain text. */
export function readErrorMessage(text: string): string {
  const error = asObject(tryParseJson(text))?.['error'];
  const message = typeof error === 'string' ? error : asObject(error)?.['message'];
  return typeof message === 'string' ? message : text.trim();
}

/** The code in an error answer, which comes from whoever decided, a clearinghouse for one. */
export function readErrorCode(text: string): string | undefined {
  const code = asObject(asObject(tryParseJson(text))?.['error'])?.['code'];
  return typeof code === 'string' ? code : undefined;
}
