import { z } from 'zod';
import { tryParseJson } from '../try-parse-json.ts';
import { ChainError } from './facts.ts';

export type RpcCall = { readonly method: string; readonly params: readonly unknown[] };

/** A node behind one URL. Its errors never show the URL, which may hold credentials. */
export type RpcEndpoint = {
  /** what logs and errors call it */
  readonly name: string;
  /**
   * Sends the calls as one JSON-RPC batch in one HTTP request, or one by one to a node that refuses batches; the results come
   * in the order of the calls. Throws {@link ChainError}, which starts with the endpoint's name.
   */
  call(calls: readonly RpcCall[], signal: AbortSignal): Promise<readonly unknown[]>;
};

export type RpcEndpointOptions = {
  readonly name: string;
  /** http or https; user name and password in it are sent as basic authentication */
  readonly url: string;
  /** from sending the question to the last byte of the answer */
  readonly timeoutMs: number;
};

const maxAnswerBytes = 1_048_576;

/** JSON-RPC error codes are numbers; some nodes, and the gateways before them, use names instead. */
const errorSchema = z.object({
  code: z.union([z.int(), z.string().regex(/^(?:-?\d{1,6}|[A-Za-z][A-Za-z_.-]{0,63})$/)]),
});

const answerSchema = z.object({
  id: z.unknown().optional(),
  result: z.unknown().optional(),
  error: z.unknown().optional(),
});

type Answer = z.infer<typeof answerSchema>;

/** Creates an endpoint; it connects only when it is called. Throws TypeError when `url` is not a URL. */
export function createRpcEndpoint({ name, url, timeoutMs }: RpcEndpointOptions): RpcEndpoint {
  const { target, headers } = splitCredentials(url);
  const fail = (reason: string): ChainError =>
    new ChainError('CHAIN_FACTS_UNAVAILABLE', `${name} ${reason}`, { retryable: true });
  let takesBatches = true;

  /** Posts JSON, and gives the JSON of the answer, whatever it is. */
  async function post(body: unknown, signal: AbortSignal): Promise<unknown> {
    const timeout = AbortSignal.timeout(timeoutMs);
    let status: number;
    let text: string | undefined;
    try {
      const response = await fetch(target, {
        method: 'POST',
        headers,
        body: JSON.stringify(body),
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
    const json = tryParseJson(text);
    if (status === 200) return json;
    const error = describeError(answerSchema.safeParse(json).data?.error);
    throw fail(`answered HTTP ${status}${error === undefined ? '' : ` with ${error}`}`);
  }

  function resultOf({ method }: RpcCall, answer: Answer | undefined): unknown {
    const error = describeError(answer?.error);
    if (error !== undefined) throw fail(`answered ${method} with ${error}`);
    if (answer?.result === undefined) throw fail(`gave no valid answer to ${method}`);
    return answer.result;
  }

  async function callBatch(calls: readonly RpcCall[], signal: AbortSignal) {
    const json = await post(calls.map(toRequest), signal);
    // some nodes answer a batch with a single error
    const whole = describeError(answerSchema.safeParse(json).data?.error);
    if (whole !== undefined) throw fail(`answered with ${whole}`);
    const answers = z.array(answerSchema).safeParse(json).data;
    return calls.map((call, id) =>
      resultOf(
        call,
        answers?.find((answer) => answer.id === id),
      ),
    );
  }

  async function callOne(call: RpcCall, signal: AbortSignal): Promise<unknown> {
    const answer = answerSchema.safeParse(await post(toRequest(call, 0), signal)).data;
    return resultOf(call, answer?.id === 0 ? answer : undefined);
  }

  return {
    name,
    async call(calls, signal) {
      let refusal: Error | undefined;
      if (takesBatches && calls.length > 1) {
        try {
          return await callBatch(calls, signal);
        } catch (error) {
          if (!(error instanceof ChainError)) throw error;
          refusal = error;
        }
      }
      const results: unknown[] = [];
      for (const call of calls) {
        try {
          results.push(await callOne(call, signal));
        } catch (error) {
          // the node refuses single calls too, so the batch was not the reason
          if (results.length === 0 && refusal !== undefined) throw refusal;
          takesBatches = true;
          throw error;
        }
        takesBatches = refusal === undefined && takesBatches;
      }
      return results;
    },
  };
}

function toRequest(call: RpcCall, id: number): object {
  return { jsonrpc: '2.0', id, ...call };
}

/** Describes a node's error by its code alone, since its message may quote the URL; undefined where there is no error. */
function describeError(error: unknown): string | undefined {
  if (error === undefined || error === null) return undefined;
  const { code } = errorSchema.safeParse(error).data ?? {};
  return code === undefined ? 'an error without a code' : `error ${code}`;
}

/**
 * Splits a URL into one without user name and password, which fetch refuses, and the headers that carry them instead. Throws
 * TypeError when `url` is not a URL.
 */
export function splitCredentials(url: string): {
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

/** The text of an answer; undefined when it is too long. */
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

/** Node's code for a failed connection. Node's messages are left out, since they may quote the URL. */
function codeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause ? String(cause.code) : 'connection failed';
}
