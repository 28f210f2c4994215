import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** One JSON-RPC request and its answer, as the fault sees them. */
export type Exchange = {
  readonly id: unknown;
  readonly method: string;
  readonly params: readonly unknown[];
  result?: unknown;
};

export type RpcFault =
  | { readonly kind: 'none' }
  /** the connection is closed without an answer */
  | { readonly kind: 'down' }
  /** nothing is ever answered */
  | { readonly kind: 'hanging' }
  /** the headers and half of the body are sent, the rest never */
  | { readonly kind: 'stuck-half-way' }
  | { readonly kind: 'slow'; readonly delayMs: number }
  | { readonly kind: 'http-status'; readonly status: number }
  /** batches get this text, with a status; single calls their answer */
  | { readonly kind: 'no-batches'; readonly status: number; readonly text: string }
  /** this text, whatever was asked */
  | { readonly kind: 'body'; readonly text: string }
  /** all calls are answered with this error */
  | { readonly kind: 'rpc-error'; readonly code: number | string; readonly message: string }
  /** results are replaced by what the function returns; undefined leaves the result out */
  | { readonly kind: 'results'; readonly replace: (exchange: Exchange) => unknown };

export type FaultyRpc = {
  readonly url: string;
  /** what it does from now on */
  fault: RpcFault;
  /** the methods of each HTTP request so far */
  readonly requests: (readonly string[])[];
  /** the `Authorization` headers so far */
  readonly authorizations: (string | undefined)[];
  close(): Promise<void>;
};

type AnswerOfNode = { readonly id: unknown; readonly result: unknown };

/** A JSON-RPC proxy in front of a node, which fails as it is told; `path` ends its URL. */
export async function startFaultyRpc(nodeUrl: string, path = '/'): Promise<FaultyRpc> {
  const state: Pick<FaultyRpc, 'fault' | 'requests' | 'authorizations'> = {
    fault: { kind: 'none' },
    requests: [],
    authorizations: [],
  };

  async function serve(request: http.IncomingMessage, response: http.ServerResponse) {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const asked = JSON.parse(body) as Exchange | Exchange[];
    const calls = [asked].flat();
    state.requests.push(calls.map(({ method }) => method));
    state.authorizations.push(request.headers.authorization);
    const { fault } = state;
    const answer = (text: string): void => {
      response.setHeader('Content-Type', 'application/json');
      response.end(text);
    };
    switch (fault.kind) {
      case 'down':
        request.socket.destroy();
        return;
      case 'hanging':
        return;
      case 'http-status':
        response.statusCode = fault.status;
        answer('{}');
        return;
      case 'body':
        answer(fault.text);
        return;
      case 'rpc-error': {
        const { code, message } = fault;
        const answers = calls.map(({ id }) => ({ id, error: { code, message } }));
        answer(JSON.stringify(Array.isArray(asked) ? answers : answers[0]));
        return;
      }
      case 'no-batches':
        if (!Array.isArray(asked)) break;
        response.statusCode = fault.status;
        answer(fault.text);
        return;
      case 'none':
      case 'slow':
      case 'stuck-half-way':
      case 'results':
    }
    if (fault.kind === 'slow') await delay(fault.delayMs);
    const upstream = await fetch(nodeUrl, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body,
    });
    const text = await upstream.text();
    if (fault.kind === 'stuck-half-way') {
      response.setHeader('Content-Type', 'application/json');
      response.write(text.slice(0, text.length / 2));
      return;
    }
    if (fault.kind !== 'results') {
      answer(text);
      return;
    }
    const answers = JSON.parse(text) as AnswerOfNode | AnswerOfNode[];
    const replaced = [answers].flat().map((one) => {
      const call = calls.find(({ id }) => id === one.id);
      if (!call) throw new Error('the node answered what was not asked');
      return { ...one, result: fault.replace({ ...call, result: one.result }) };
    });
    answer(JSON.stringify(Array.isArray(answers) ? replaced : replaced[0]));
  }

  const server = http.createServer((request, response) => {
    // a node that is gone is a failing node too
    serve(request, response).catch(() => request.socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, {
    url: `http://127.0.0.1:${port}${path}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}
