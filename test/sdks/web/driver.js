/**
 * Drives \@pymthouse/gateway-web as a program does that uses it. Takes one JSON command a line on standard input, and answers each
 * with one JSON line on standard output. Its payment loops wait so many seconds as the first argument says for 3.
 */
import { createInterface } from 'node:readline';
import { LivePaymentSession, PAYMENT_INTERVAL_MS, createGateway } from '@pymthouse/gateway-web';

const intervalMs = 1000 * process.argv[2];
const wait = globalThis.setTimeout;
globalThis.setTimeout = (run, ms, ...values) =>
  wait(run, ms === PAYMENT_INTERVAL_MS ? intervalMs : ms, ...values);

let signer;
let gateway;
const sessions = new Map();

function fund(session, paymentSession) {
  const stopping = new AbortController();
  const loop = { paymentSession, stopping, isRunning: true };
  void paymentSession.runPayments(stopping.signal).then(() => (loop.isRunning = false));
  sessions.set(session.sessionId, { session, loop });
}

const commands = {
  use({ signerUrl, headers }) {
    signer = { signerUrl, signerHeaders: headers ?? {} };
    gateway = createGateway(signer);
  },
  async call({ app, payload }) {
    return (await gateway.runInference({ capability: app, params: payload })).data;
  },
  async reserve({ app }) {
    const session = await gateway.reserveSession({ capability: app, startFunding: false });
    if (session.paymentSession === null) sessions.set(session.sessionId, { session });
    else fund(session, session.paymentSession);
    return session.sessionId;
  },
  async 'call-session'({ session, payload }) {
    const { session: handle } = sessions.get(session);
    return (await gateway.callSession(handle, { endpoint: 'echo', payload })).data;
  },
  'is-paying': ({ session }) => sessions.get(session).loop?.isRunning === true,
  /** As another process would, from what the first one wrote down. */
  resume({ session }) {
    const { session: handle, loop } = sessions.get(session);
    const snapshot = JSON.parse(JSON.stringify(loop.paymentSession.snapshot()));
    fund(handle, LivePaymentSession.fromSnapshot({ ...signer, snapshot }));
  },
  async stop({ session }) {
    const { session: handle, loop } = sessions.get(session);
    loop?.stopping.abort();
    await gateway.stopSession(handle);
    sessions.delete(session);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = { result: (await commands[command.do](command)) ?? null };
  } catch (error) {
    const reasons = (error.rejections ?? []).map(({ reason }) => reason);
    answer = { error: [error.message, ...reasons].join(': ') };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
