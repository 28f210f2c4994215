import { createHash } from 'node:crypto';
import { Agent, request as httpRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fromBinary } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import { PaymentSchema } from '../../src/wire/net_pb.ts';
import { Folder } from '../cli/cli.ts';
import { createRandom } from '../support/random.ts';
import { startRedisServer } from '../support/redis-server.ts';
import { startFleetProxy } from './fleet-proxy.ts';
import { firstPayment, nextPayment } from './guarded-signer.ts';
import { type ServeProcess, startServeProcess } from './serve-process.ts';

const random = createRandom('fleet');

/** LIVEPEER_HSM_SIGNER_FLEET_MINUTES makes it shorter; each minute one instance is killed and one drained. */
const minutes = Number(process.env['LIVEPEER_HSM_SIGNER_FLEET_MINUTES'] ?? '10');
const sessionCount = 40;
const instanceCount = 3;
/** Sessions that pay with the same ticket parameters. */
const sessionsPerParams = 4;
const lameDuckMs = 6_000;
/** Between two payments of a session: at most as long as an instance that stops goes on serving. */
const longestPauseMs = 2_000;

type Answer = { readonly payment: string; readonly state: { State: string; Sig: string } };

it(`40 sessions over three instances, one killed and one drained every minute, for ${minutes} minutes`, async () => {
  using folder = new Folder();
  await using redis = await startRedisServer();
  const processes: ServeProcess[] = [];
  const serving = new Map<number, ServeProcess>();
  const killed = new Set<ServeProcess>();
  const start = async (index: number): Promise<void> => {
    const audit = `audit-${index}-${processes.length}`;
    const store = { kind: 'redis', url: redis.url };
    const instance = await startServeProcess(folder, {
      policy: 'default: allow',
      store,
      audit,
      lameDuckMs,
    });
    processes.push(instance);
    serving.set(index, instance);
  };
  for (let index = 0; index < instanceCount; index += 1) await start(index);
  const expiration = processes[0]?.tokenExpiration ?? 0n;
  await using proxy = await startFleetProxy(() => [...serving.values()], random.int);

  let isOver = false;
  const tally = { payments: 0, tickets: 0, resetsOfKilled: 0, busy: 0, renewals: 0 };
  const otherResets: string[] = [];
  const handedOut = new Map<string, string>();

  function post(body: string, agent: Agent): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      let clientPort = 0;
      const request = httpRequest(
        {
          port: proxy.port,
          host: '127.0.0.1',
          agent,
          method: 'POST',
          path: '/generate-live-payment',
          headers: { 'Content-Type': 'application/json' },
        },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => (text += chunk));
          response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
          response.on('error', fail);
        },
      );
      const fail = (error: Error): void => {
        const instance = proxy.instanceOf(clientPort);
        if (instance && killed.has(instance)) tally.resetsOfKilled += 1;
        else otherResets.push(`${error.message} of ${instance?.url ?? 'no instance'}`);
        reject(error);
      };
      request.on('socket', (socket) => {
        const note = (): void => void (clientPort = socket.localPort ?? 0);
        if (socket.connecting) socket.once('connect', note);
        else note();
      });
      request.on('error', fail);
      request.end(body);
    });
  }

  async function session(index: number): Promise<number> {
    const group = Math.floor(index / sessionsPerParams);
    let generation = 0;
    let state: Answer['state'] | undefined;
    let payments = 0;
    let agent = new Agent({ keepAlive: true, maxSockets: 1 });
    let body: string | undefined;
    while (!isOver) {
      const params = createHash('sha256').update(`${group} ${generation}`).digest();
      const changes = {
        ticketParams: { recipientRandHash: new Uint8Array(params) },
        authToken: { expiration },
      };
      const tickets = 1 + random.int(3);
      // an answer that did not come is asked for again, as it was
      body ??= await (state
        ? nextPayment(state, tickets, changes)
        : firstPayment(tickets, changes));
      const reply = await post(body, agent).catch(() => undefined);
      if (!reply || reply.status === 503) {
        if (reply) tally.busy += 1;
        await sleep(100);
        continue;
      }
      body = undefined;
      if (reply.status === 480) {
        generation += 1;
        tally.renewals += 1;
        continue;
      }
      expect(reply).toMatchObject({ status: 200 });
      const answer = JSON.parse(reply.text) as Answer;
      for (const { senderNonce } of fromBinary(PaymentSchema, Buffer.from(answer.payment, 'base64'))
        .ticketSenderParams) {
        const name = `${params.toString('hex')} ${senderNonce}`;
        expect(handedOut.get(name), `nonce ${name}`).toBeUndefined();
        handedOut.set(name, answer.payment);
        tally.tickets += 1;
      }
      state = answer.state;
      payments += 1;
      tally.payments += 1;
      if (random.int(4) === 0) {
        agent.destroy();
        agent = new Agent({ keepAlive: true, maxSockets: 1 });
      }
      await sleep(random.int(longestPauseMs));
    }
    agent.destroy();
    return payments;
  }

  /** A round takes a minute, or as long as a busy machine needs to kill one instance, drain another and start both again. */
  async function replaceInstances(): Promise<void> {
    for (let round = 0; round < minutes; round += 1) {
      const minuteMs = performance.now();
      await sleep(15_000);
      const victim = round % instanceCount;
      const dying = serving.get(victim);
      if (!dying) throw new Error(`no instance ${victim} to kill`);
      killed.add(dying);
      serving.delete(victim);
      await dying.kill();
      await start(victim);
      await sleep(Math.max(0, minuteMs + 40_000 - performance.now()));
      const leaving = (round + 1) % instanceCount;
      const stopping = serving.get(leaving);
      if (!stopping) throw new Error(`no instance ${leaving} to drain`);
      await stopping[Symbol.asyncDispose]();
      serving.delete(leaving);
      await start(leaving);
      await sleep(Math.max(0, minuteMs + 60_000 - performance.now()));
    }
  }

  const [, ...payments] = await Promise.all([
    replaceInstances().finally(() => (isOver = true)),
    ...Array.from({ length: sessionCount }, (_, index) => session(index)),
  ]);
  for (const instance of serving.values()) await instance[Symbol.asyncDispose]();
  const signed = processes.reduce((sum, instance) => sum + instance.ticketSignatures(), 0);
  const distinct = new Set(processes.flatMap((instance) => instance.ticketDigests())).size;
  console.log(`fleet: ${JSON.stringify({ minutes, ...tally, signed, distinct, otherResets })}`);
  expect(killed.size).toBe(minutes);
  expect(otherResets).toEqual([]);
  expect(Math.min(...payments)).toBeGreaterThan(minutes * 10);
  expect(distinct).toBe(signed);
  expect(tally.tickets).toBeLessThanOrEqual(signed);
});
