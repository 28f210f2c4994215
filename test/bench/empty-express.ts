// The floor's HTTP part: a request that express answers with nothing. Prints its URL.
import type { AddressInfo } from 'node:net';
import express from 'express';

const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.post('/generate-live-payment', (_request, response) => {
  response.end();
});
const server = app.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
