import { z } from 'zod';
import { ChainError } from './facts.ts';

export type RpcCall = { readonly method: string; readonly params: readonly unknown[] };

/** A node behind one URL. Its errors never show the URL, which may hold credentials. */
export type RpcEndpoint = {
  /** what logs and errors call it */
  readonly name: string;
  /**
   * Sends the calls as one JSON-RPC batch in one HTTP request; the results come in the order of the calls. Throws
   * {@link ChainError}, which starts with the endpoint's name.
   */
  call(calls: readonly RpcCall[], signal: AbortSignal): Promise<readonly unknown[]>;
};

export type RpcEndpointOptions = {
  readonly name: string;
  /** http or https; user name and password in it are sent as basic authentication */
  readonly url: string;
  /** from the question to the last byte of the answer */
  readonly timeoutMs: number;
};

const maxAnswerBytes = 1_048_576;

const answerSchema = z.array(
  z.object({
    id: z.int(),
    result: z.unknown().optional(),
    error: z.object({ code: z.int() }).nullish(),
  }),
);

/** Throws TypeError when the URL is none. */
export function createRpcEndpoint({ name, url, timeoutMs }: RpcEndpointOptions): RpcEndpoint {
  const { target, headers } = splitCredentials(url);
  const fail = (reason: string): ChainError =>
    new ChainError('CHAIN_FACTS_UNAVAILABLE', `${name} ${reason}`, { retryable: true });

  return {
    name,
    async call(calls, signal) {
      const timeout = AbortSignal.timeout(timeoutMs);
      let status: number;
      let text: string | undefined;
      try {
        const response = await fetch(target, {
          method: 'POST',
          headers,
          body: JSON.stringify(calls.map((call, id) => ({ jsonrpc: '2.0', id, ...call }))),
          redirect: 'manual',
          signal: AbortSignal.any([signal, timeout]),
        });
        ({ status } = response);
        text = await readText(response);
      } catch (error) {
        throw fail(
          timeout.aborted
            ? `gave no answer within ${timeoutMs} ms`
            : `can't be reached: ${codeOf(error)}`,
        );
      }
      if (text === undefined) throw fail(`answered more than ${maxAnswerBytes} bytes`);
      if (status !== 200) throw fail(`answered HTTP ${status}`);
      const answers = answerSchema.safeParse(parseJson(text)).data;
      return calls.map(({ method }, id) => {
        const answer = answers?.find((candidate) => candidate.id === id);
        if (answer?.error) throw fail(`answered ${method} with error ${answer.error.code}`);
        if (answer?.result === undefined) throw fail(`gave no valid answer to ${method}`);
        return answer.result;
      });
    },
  };
}

/** The URL without user name and password, which go into a header: `fetch` takes no URL that has them. */
export /**
 * A URL without user name and password, which fetch refuses, and the headers that carry them instead. Throws TypeError when
 * the URL is none.
 */
function splitCredentials(url: string): {
  readonly target: URL;
  readonly headers: Readonly<Record<string, string>>;
} {
  const target = new URL(url);
  const credentials = `${decodeURIComponent(target.username)}:${decodeURIComponent(target.password)}`;
  target.username = '';
  target.password = '';
  const headers: Record<string, string> = { 'Content-Type': 'application/json' };
  if (credentials !== ':') {
    headers['Authorization'] = `Basic ${Buffer.from(credentials).toString('base64')}`;
  }
  return { target, headers };
}

/** undefined when there is too much of it. */
async function readText(response: Response): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > maxAnswerBytes) return undefined;
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Node's code for a failed connection; its messages are left out, since they may quote the URL. */
function codeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause ? String(cause.code) : 'connection failed';
}
