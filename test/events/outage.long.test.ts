import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Connection } from '../bench/connection.ts';
import { PayingSession } from '../bench/paying-session.ts';
import { percentile } from '../bench/result.ts';
import { Cli, Folder, devConfig } from '../cli/cli.ts';
import { readRecords } from '../guardrails/evidence.ts';
import { type KafkaMessage, startKafkaBroker } from '../support/kafka-broker.ts';

const perSecond = 200;
const clients = 50;
const outageMs = 60_000;
const measuredMs = 20_000;
const kills = 5;
/** What a signer pays between its start and its end. */
const lifeMs = 3_000;

type Answer = { readonly atMs: number; readonly tookMs: number; readonly status: number };
type Data = { readonly session_id: string; readonly sequence_number: number };

/** `session#sequence number`, of an event or of a state. */
const nameOf = (session: string, sequence: number | string): string => `${session}#${sequence}`;

function readPaid(text: string): string {
  const { state } = JSON.parse(text) as { state: { State: string } };
  const { StateID, SequenceNumber } = JSON.parse(Buffer.from(state.State, 'base64').toString()) as {
    StateID: string;
    SequenceNumber: number;
  };
  return nameOf(StateID, SequenceNumber);
}

/** Calls at a steady pace, whatever is answered and however long it takes. */
class Load {
  readonly payments: Answer[] = [];
  /** of a route without a payment, to tell the machine's part */
  readonly others: Answer[] = [];
  /** payments that clients were given */
  readonly paid = new Set<string>();
  url = '';
  #isOver = false;
  readonly #running: Promise<unknown>;

  constructor(url: string) {
    this.url = url;
    const everyMs = (1_000 * clients) / perSecond;
    this.#running = Promise.all([
      this.#call(50, 0, this.others, '/sign-orchestrator-info'),
      ...Array.from({ length: clients }, (_, index) =>
        this.#call(
          everyMs,
          (index * everyMs) / clients,
          this.payments,
          '/generate-live-payment',
          new PayingSession(1 + (index % 3)),
        ),
      ),
    ]);
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  /** Latencies of what was answered in a span of time, in order. */
  static between(answers: readonly Answer[], fromMs: number, toMs: number): number[] {
    return answers
      .filter(({ atMs, status }) => status === 200 && atMs >= fromMs && atMs < toMs)
      .map(({ tookMs }) => tookMs);
  }

  async #call(
    everyMs: number,
    offsetMs: number,
    answers: Answer[],
    path: string,
    session?: PayingSession,
  ): Promise<void> {
    let connection: Connection | undefined;
    let nextMs = performance.now() + offsetMs;
    while (!this.#isOver) {
      await delay(Math.max(0, nextMs - performance.now()));
      nextMs = Math.max(nextMs + everyMs, performance.now());
      const atMs = performance.now();
      try {
        connection ??= await Connection.open(this.url);
        const { status, text } = await connection.post(path, session?.request() ?? '');
        answers.push({ atMs, tookMs: performance.now() - atMs, status });
        if (!session || status !== 200) continue;
        session.take(text);
        this.paid.add(readPaid(text));
      } catch {
        // the signer was killed
        connection = undefined;
        await delay(50);
      }
    }
    connection?.close();
  }
}

it('events of a minute without Kafka, in which the signer is killed five times', async () => {
  await using broker = await startKafkaBroker();
  // with one partition the order of what the signer sends can be seen
  await broker.createTopic('payments', 1);
  using folder = new Folder();
  const config = folder.write(
    'signer.yaml',
    `${devConfig}audit: { path: audit, maxFileBytes: 1048576 }
events: { kafka: { brokers: ['${broker.address}'], topic: payments } }
server: { listen: '127.0.0.1:0' }
`,
  );
  let cli = new Cli(['serve', '--config', config]);
  const load = new Load(await cli.listening());
  try {
    await delay(10_000);
    const calmMs = performance.now();
    await delay(measuredMs);
    await broker.kill();
    const outMs = performance.now();
    await delay(measuredMs);
    const killedMs = performance.now();
    for (let kill = 0; kill < kills; kill += 1) {
      cli.child.kill('SIGKILL');
      await cli.ended();
      cli = new Cli(['serve', '--config', config]);
      load.url = await cli.listening();
      await delay(lifeMs);
    }
    await delay(Math.max(0, outMs + outageMs - performance.now()));
    await broker.start();
    const backMs = performance.now();
    await delay(5_000);
    await load.stop();

    const recorded = new Map(
      readRecords(join(folder.path, 'audit')).flatMap(({ kind, event }): [string, string][] => {
        if (kind !== 'signed' || typeof event !== 'string') return [];
        return [[(JSON.parse(event) as { id: string }).id, event]];
      }),
    );
    const missing = new Set(recorded.keys());
    const messages = await broker.readUntil('payments', ({ key }) => {
      missing.delete(key);
      return missing.size === 0;
    });

    const row = (what: string, fromMs: number, toMs: number) => {
      const paid = Load.between(load.payments, fromMs, toMs);
      const others = Load.between(load.others, fromMs, toMs);
      const show = (latencies: readonly number[], share: number) =>
        percentile(latencies, share).toFixed(1);
      return {
        when: what,
        'payments/s': ((1_000 * paid.length) / (toMs - fromMs)).toFixed(0),
        'p50 ms': show(paid, 0.5),
        'p99 ms': show(paid, 0.99),
        'other route p50 ms': show(others, 0.5),
        'other route p99 ms': show(others, 0.99),
      };
    };
    console.table([
      row('Kafka there', calmMs, outMs),
      row('Kafka gone', outMs, killedMs),
      row(`Kafka gone, ${kills} kills`, killedMs, backMs),
    ]);
    console.log(
      `Kafka was gone for ${((backMs - outMs) / 1000).toFixed(0)} s; ${load.paid.size} payments answered, ` +
        `${recorded.size} events recorded, ${messages.length} messages, ${messages.length - recorded.size} of them repeats`,
    );

    expect(backMs - outMs).toBeGreaterThanOrEqual(outageMs);
    expect(load.payments.filter(({ status }) => status !== 200)).toEqual([]);
    // what arrived is what was recorded, byte for byte, each time
    expect(messages.filter(({ key, value }) => recorded.get(key) !== value)).toEqual([]);
    const arrived = new Set([...recorded.values()].map((value) => eventName(value)));
    expect([...load.paid].filter((name) => !arrived.has(name))).toEqual([]);
    expectOrder(messages);
  } finally {
    await load.stop();
    cli.child.kill('SIGKILL');
  }
});

const dataOf = (value: string): Data => (JSON.parse(value) as { data: Data }).data;

function eventName(value: string): string {
  const { session_id: session, sequence_number: sequence } = dataOf(value);
  return nameOf(session, sequence);
}

/** What comes for the first time comes in the order of its session. */
function expectOrder(messages: readonly KafkaMessage[]): void {
  const known = new Set<string>();
  const latest = new Map<string, number>();
  for (const { key, value } of messages) {
    if (known.has(key)) continue;
    known.add(key);
    const { session_id: session, sequence_number: sequence } = dataOf(value);
    expect(sequence).toBeGreaterThanOrEqual(latest.get(session) ?? 0);
    latest.set(session, sequence);
  }
}
