import { fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { BareOrder, BareReport } from './bare-provider.ts';
import { type Device, deviceNames, openDevice } from './devices.ts';
import { type Floor, measureFloor } from './floor.ts';
import { writeGuardedConfig } from './guarded-config.ts';
import { type Measured, runLoad } from './load.ts';
import { runOnCores } from './process-usage.ts';
import { type Figure, type Scenario, formatNumber, median } from './result.ts';
import { startSignerProcess } from './signer-process.ts';

const rounds = 3;
const warmUpMs = 5_000;
/** A signer runs for months: it is measured once its code is compiled, which takes some 50,000 payments. */
const firstWarmUpMs = 20_000;
const durationMs = 4_000;
/** Requests under way at once, and calls of the bare provider. */
const concurrency = 64;
/** Tickets of the larger payments, and how many of those are under way at once: enough for any device, and answered in time by a slow one. */
const batch = 20;
const batchConcurrency = 16;
/** Of these keys two workers are measured too: one has a core of its own, and those of the clouds wait for a stand-in. */
const withTwoWorkers: readonly string[] = ['local-keystore', 'delayed-key'];
const lastCore = availableParallelism() - 1;
/** For a device that needs a core: that one, which the load keeps off. */
const coreOfDevice = String(lastCore);
const coresOfLoad = lastCore === 0 ? '0' : `0-${lastCore - 1}`;

/** Payments a second and CPU a payment over each provider, against the bare provider and against the floor. */
export const throughput: Scenario = async ({ folder, say }) => {
  const rows: string[][] = [];
  const figures: Figure[] = [];
  for (const provider of deviceNames) {
    const device = await openDevice(provider, folder);
    try {
      for (const workers of withTwoWorkers.includes(provider) ? [1, 2] : [1]) {
        say(`${device.name}, ${describeWorkers(workers)}`);
        rows.push(...(await measureDevice(device, workers, folder, figures)));
      }
    } finally {
      await device.close();
    }
  }
  return {
    table: [['', 'a second', 'CPU µs each', 'of bare', 'of floor'], ...rows],
    notes: [
      `payments of one ticket where nothing else is said, in running sessions, ${concurrency} requests under way at once, or ${batchConcurrency} payments of ${batch}; median of ${rounds} rounds, of shares too`,
      'SoftHSM, and the signer that calls it, have a core of their own, the load the others',
      'each payment is authenticated by an API key and recorded in an audit log',
      "the floor's empty request and the payments are loaded by the same client, on the same machine",
    ],
    figures,
  };
};

const describeWorkers = (workers: number): string =>
  workers === 1 ? 'one worker' : `${workers} workers`;

async function measureDevice(
  device: Device,
  workers: number,
  folder: string,
  figures: Figure[],
): Promise<string[][]> {
  const { key, environment, needsCore = false } = device;
  const name = workers === 1 ? device.name : `${device.name}, ${describeWorkers(workers)}`;
  const guarded = writeGuardedConfig(folder, { hasRules: false });
  const signer = await startSignerProcess({
    folder,
    key,
    workers,
    guarded,
    ...(environment && { environment }),
  });
  if (needsCore) runOnCores(signer.pid, coreOfDevice);
  const payments: Measured[] = [];
  const ofTwenty: Measured[] = [];
  const pay = (tickets: number, isFirst: boolean): Promise<Measured> =>
    runLoad(
      {
        kind: 'payments',
        url: signer.url,
        apiKey: guarded.apiKey,
        connections: tickets === batch ? batchConcurrency : concurrency,
        cores: needsCore ? coresOfLoad : undefined,
        tickets,
        warmUpMs: isFirst ? firstWarmUpMs : warmUpMs,
        durationMs,
      },
      signer.cpuMicroseconds,
    );
  const bares: BareReport[] = [];
  const floors: Floor[] = [];
  try {
    for (let round = 0; round < rounds; round += 1) {
      bares.push(await runBareProvider(device, folder));
      payments.push(await pay(1, round === 0));
      ofTwenty.push(await pay(batch, false));
      if (name === 'local keystore') floors.push(await measureFloor(concurrency, folder));
    }
  } finally {
    await signer.stop();
  }
  const middle = <Item>(items: readonly Item[], read: (item: Item) => number): number =>
    median(items.map(read));
  const perSecond = middle(payments, (each) => each.perSecond);
  const cpu = middle(payments, (each) => each.cpuMicroseconds);
  const barePerSecond = middle(bares, (each) => each.perSecond);
  const bareCpu = middle(bares, (each) => each.cpuMicroseconds);
  const ofBare = perSecond / barePerSecond;
  const rows = [
    [`${name}, bare`, formatNumber(barePerSecond), formatNumber(bareCpu), '', ''],
    [`${name}, payments`, formatNumber(perSecond), formatNumber(cpu), formatNumber(ofBare), ''],
    [
      `${name}, payments of ${batch} tickets`,
      formatNumber(middle(ofTwenty, (each) => each.perSecond)),
      formatNumber(middle(ofTwenty, (each) => each.cpuMicroseconds)),
      '',
      '',
    ],
  ];
  figures.push(
    { name: `payments a second, ${name}`, value: perSecond },
    {
      name: `payments of ${batch} a second, ${name}`,
      value: middle(ofTwenty, (each) => each.perSecond),
    },
  );
  if (name === 'SoftHSM') {
    figures.push({
      name: 'payments a second over SoftHSM, of the bare pool’s signatures',
      value: ofBare,
      goal: { atLeast: 0.85 },
    });
  }
  if (floors.length > 0) {
    const sum = middle(floors, (floor) => floor.sum);
    for (const [part, label] of [
      ['sign', 'one native signature'],
      ['proof', 'its proof'],
      ['seal', 'one state sealed'],
      ['emptyRequest', 'one empty express request'],
      ['durableRecord', 'one durable record'],
    ] as const) {
      rows.push([
        `floor: ${label}`,
        '',
        formatNumber(middle(floors, (floor) => floor[part])),
        '',
        '',
      ]);
    }
    rows.push(['floor: sum', '', formatNumber(sum), '', '']);
    const ofFloor = median(
      floors.map((floor, round) => (payments[round]?.cpuMicroseconds ?? NaN) / floor.sum),
    );
    rows[1]?.splice(4, 1, formatNumber(ofFloor));
    figures.push({
      name: 'CPU of a payment, local keystore, of its floor',
      value: ofFloor,
      goal: { atMost: 1.8 },
    });
    const ofBatchFloor = median(
      floors.map(
        (floor, round) => (ofTwenty[round]?.cpuMicroseconds ?? NaN) / (batch * floor.ofTwenty),
      ),
    );
    rows[2]?.splice(4, 1, formatNumber(ofBatchFloor));
    figures.push({
      name: `CPU of a payment of ${batch}, local keystore, of ${batch} signatures and their proofs`,
      value: ofBatchFloor,
      goal: { atMost: 1.25 },
    });
  }
  return rows;
}

async function runBareProvider(
  { key, environment, needsCore = false }: Device,
  folder: string,
): Promise<BareReport> {
  const { provider, ...section } = key;
  const child = fork(join(import.meta.dirname, 'bare-provider.ts'), {
    env: { ...process.env, ...environment },
  });
  const order: BareOrder = {
    provider: String(provider),
    section: { ...section, generateIfMissing: undefined },
    folder,
    calls: concurrency,
    warmUpMs,
    durationMs,
  };
  let report: BareReport | undefined;
  child.on('message', (message: BareReport) => (report = message));
  if (needsCore) runOnCores(child.pid ?? 0, coreOfDevice);
  child.send(order);
  await once(child, 'exit');
  if (!report) throw new Error('the bare provider ended early: see its error above');
  return report;
}
