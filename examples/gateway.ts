// A gateway: it runs POST /APP at the cheapest runner of that app that the signer names, pays for it, and passes the answer on.
//
//   SIGNER_URL=http://127.0.0.1:7936 SIGNER_KEY=lhs_… node examples/gateway.ts
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { createSignerClient, payingFetch, SignerRefusalError } from 'livepeer-remote-signer-client';
import { orchestratorFetch } from 'livepeer-remote-signer-client/node';

const {
  SIGNER_URL: url = 'http://127.0.0.1:7936',
  SIGNER_KEY: credential = '',
  PORT = '8080',
} = process.env;
const client = createSignerClient({ url, ...(credential !== '' && { credential }) });

/** The runner whose unit costs least. */
async function findRunner(app: string) {
  const orchestrators = await client.discoverOrchestrators({ app });
  const offers = orchestrators
    .flatMap(({ runners }) => runners)
    .flatMap(({ url, price }) =>
      price?.type ? [{ url, type: price.type, price: BigInt(price.price) }] : [],
    );
  return offers.sort((a, b) => (a.price < b.price ? -1 : 1))[0];
}

async function runJob(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const app = decodeURIComponent(request.url?.slice(1) ?? '');
  const runner = await findRunner(app);
  if (!runner) {
    response.writeHead(503).end(`nobody runs ${app} now\n`);
    return;
  }
  const ended = new AbortController();
  response.once('close', () => ended.abort());
  const { type, price: maxPrice } = runner;
  const pay = payingFetch({ client, type, app, maxPrice, fetch: orchestratorFetch });
  const answer = await pay(runner.url, {
    method: 'POST',
    body: await buffer(request),
    signal: ended.signal,
  });
  response.writeHead(answer.status, { 'Content-Type': answer.headers.get('Content-Type') ?? '' });
  if (answer.body) Readable.fromWeb(answer.body).pipe(response);
  else response.end();
}

const server = createServer((request, response) => {
  runJob(request, response).catch((error: unknown) => {
    // the signer's operator finds its reason by the request id
    console.error(error instanceof SignerRefusalError ? [error.code, error.requestId] : error);
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end('the job could not be paid for\n');
  });
});
server.listen(Number(PORT), '127.0.0.1', () =>
  console.log('the gateway listens', server.address()),
);
