/**
 * The sandbox orchestrator as a process of its own. Prints one JSON line `{"url","paymentType"}` when it
 * listens, debits by the clock, and ends on SIGTERM or SIGINT.
 *
 *   node test/sandbox-orchestrator/main.ts --type live --price-per-unit 33000000000
 */
import { parseArgs } from 'node:util';
import { fromHex } from './bytes.ts';
import type { PaymentType } from './orchestrator.ts';
import { startSandboxServer } from './server.ts';
import { SandboxWorld } from './world.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('secrets of the orchestrator');

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '127.0.0.1:0' },
    type: { type: 'string', default: 'lv2v' },
    'price-per-unit': { type: 'string', default: '1200' },
    'pixels-per-unit': { type: 'string', default: '1' },
    'ticket-ev-wei': { type: 'string', default: '1000000000000' },
    'face-value-wei': { type: 'string', default: '10000000000000' },
    'l1-block': { type: 'string', default: '20999970' },
    round: { type: 'string', default: '3800' },
    'round-block-hash': {
      type: 'string',
      default: '0x7624778dedc75f8b322b9fa1632a610d40b85e106c7d9bf0e743a9ce291b9c6f',
    },
    address: { type: 'string', default: '0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc' },
    recipient: { type: 'string', default: '0x73aed7b5deb30222fa896f399d46cc99c7bee57f' },
  },
});

const paymentType = parsePaymentType(values.type);
const [host = '', port = ''] = values.listen.split(':');
const world = new SandboxWorld(() => BigInt(Date.now()) * 1_000_000n, {
  l1Block: BigInt(values['l1-block']),
  round: BigInt(values.round),
  roundBlockHash: fromHex(values['round-block-hash']),
  activeOrchestrators: new Set([values.recipient.toLowerCase()]),
});
const server = await startSandboxServer({
  host,
  port: Number(port),
  world,
  config: {
    paymentType,
    address: values.address,
    recipient: values.recipient,
    pricePerUnit: BigInt(values['price-per-unit']),
    pixelsPerUnit: BigInt(values['pixels-per-unit']),
    ticketEvWei: BigInt(values['ticket-ev-wei']),
    faceValueWei: BigInt(values['face-value-wei']),
    ticketSecret: random.bytes(32),
    authTokenSecret: random.bytes(32),
  },
});
const debitTimer = setInterval(() => {
  server.orchestrator.tickAll();
}, 500);
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    clearInterval(debitTimer);
    void server.close();
  });
}
console.log(JSON.stringify({ url: server.url, paymentType }));

function parsePaymentType(text: string): PaymentType {
  if (text === 'lv2v' || text === 'live' || text === 'fixed') return text;
  throw new Error(`--type is ${text}; it must be lv2v, live or fixed`);
}
