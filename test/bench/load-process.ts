// Started by `load.ts`: sends requests as it is told, in a process of its own, and reports what came back.
import { setTimeout as delay } from 'node:timers/promises';
import { Connection } from './connection.ts';
import type { LoadOrder, LoadReport } from './load.ts';
import { PayingSession } from './paying-session.ts';

const path = '/generate-live-payment';

type Work = (connection: Connection) => Promise<void>;

/** One request after the other on each connection, until the order is done. */
async function run(order: LoadOrder): Promise<LoadReport> {
  const latenciesMs: number[] = [];
  let isMeasuring = false;
  let isOver = false;
  const startWork = (): Work => {
    if (order.kind === 'empty') return expectStatus(200);
    return order.kind === 'sessions' ? payFirst(order.tickets) : payOn(order.tickets);
  };
  let left = order.kind === 'sessions' ? order.sessions : Infinity;
  const runConnection = async (): Promise<void> => {
    const connection = await Connection.open(order.url, order.apiKey);
    const work = startWork();
    while (!isOver && left > 0) {
      left -= 1;
      const startedAtMs = performance.now();
      await work(connection);
      if (isMeasuring) latenciesMs.push(performance.now() - startedAtMs);
    }
    connection.close();
  };
  const all = Promise.all(Array.from({ length: order.connections }, runConnection));
  if (order.kind !== 'sessions') await Promise.race([all, delay(order.warmUpMs)]);
  process.send?.('measuring');
  isMeasuring = true;
  const startedAtMs = performance.now();
  if (order.kind !== 'sessions') {
    await Promise.race([all, delay(order.durationMs)]);
    process.send?.('measured');
  }
  const seconds = (performance.now() - startedAtMs) / 1000;
  const requests = latenciesMs.length;
  isOver = order.kind !== 'sessions';
  await all;
  return order.kind === 'sessions'
    ? {
        requests: latenciesMs.length,
        seconds: (performance.now() - startedAtMs) / 1000,
        latenciesMs: [],
      }
    : { requests, seconds, latenciesMs: latenciesMs.slice(0, requests) };
}

function expectStatus(expected: number): Work {
  return async (connection) => {
    const { status, text } = await connection.post(path, '');
    if (status !== expected) throw new Error(`status ${status}: ${text}`);
  };
}

async function pay(session: PayingSession, connection: Connection): Promise<void> {
  const { status, text } = await connection.post(path, session.request());
  if (status !== 200) throw new Error(`status ${status}: ${text}`);
  session.take(text);
}

/** The payments of one running session. */
function payOn(tickets: number): Work {
  const session = new PayingSession(tickets);
  return (connection) => pay(session, connection);
}

/** First payments, each of another session. */
function payFirst(tickets: number): Work {
  return (connection) => pay(new PayingSession(tickets), connection);
}

process.once('message', (order: LoadOrder) => {
  void run(order).then((report) => {
    process.send?.(report, () => process.disconnect());
  });
});
