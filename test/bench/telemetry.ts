import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Scenario, formatNumber, median } from './result.ts';
import { localKeystore, startSignerProcess } from './signer-process.ts';
import type { TelemetryOrder } from './telemetry-switch.ts';
import { type PayingSigner, type Window, measureWindow, payFor, windowNote } from './windows.ts';

const rounds = 14;
/** Processes of the same program differ by up to a fifth for as long as they live, by what was compiled when: each is compared with itself. */
const processes = 3;
const windowMs = 2_000;
/** Of each mode, before anything is measured. */
const warmUpMs = 4_000;
const warmUps = 2;

const modes = ['bare', 'off', 'same', 'sampled', 'on'] as const;
type Mode = (typeof modes)[number];

const labels: Record<Mode, string> = {
  bare: 'neither',
  off: 'metrics',
  same: 'metrics, the same again',
  sampled: 'metrics, traces of a tenth',
  on: 'metrics, traces of all',
};

type Running = {
  readonly signer: PayingSigner;
  readonly turnTo: (mode: Mode) => Promise<void>;
  readonly windows: Record<Mode, Window[]>;
};

/** What metrics and traces cost: payments of the same processes without either, with metrics, and with traces too, in turns. */
export const telemetry: Scenario = async ({ folder, say }) => {
  await using opened = new AsyncDisposableStack();
  const collector = await startSink();
  opened.defer(() => collector.close());
  const orders: Record<Mode, TelemetryOrder> = {
    bare: { metrics: false, traces: undefined },
    off: { metrics: true, traces: undefined },
    same: { metrics: true, traces: undefined },
    sampled: { metrics: true, traces: { endpoint: collector.url, sampleRatio: 0.1 } },
    on: { metrics: true, traces: { endpoint: collector.url, sampleRatio: 1 } },
  };
  const running: Running[] = [];
  for (let copy = 1; copy <= processes; copy += 1) {
    const path = join(folder, `order-${copy}`);
    const signer = await startSignerProcess({
      folder,
      name: `telemetry-${copy}`,
      key: localKeystore,
      guarded: { yaml: `audit: { path: audit-${copy} }\n`, apiKey: '' },
      environment: {
        BENCH_TELEMETRY: path,
        NODE_OPTIONS: `--import=${new URL('telemetry-switch.ts', import.meta.url).href}`,
      },
    });
    opened.defer(() => signer.stop());
    running.push({
      signer,
      windows: { bare: [], off: [], same: [], sampled: [], on: [] },
      turnTo: async (mode) => {
        writeFileSync(path, JSON.stringify(orders[mode]));
        process.kill(signer.pid, 'SIGUSR2');
        while (existsSync(path)) {
          // throws where the signer has ended over it
          process.kill(signer.pid, 0);
          await delay(5);
        }
      },
    });
  }
  say('warming up');
  for (const { signer, turnTo } of running) {
    for (const mode of Array.from({ length: warmUps }, () => modes).flat()) {
      await turnTo(mode);
      await payFor(signer, warmUpMs);
    }
  }
  for (let round = 0; round < rounds; round += 1) {
    say(`round ${round + 1} of ${rounds}`);
    // which one is first changes, so that what the machine does meanwhile hits all alike
    const turn = round % modes.length;
    for (const mode of [...modes.slice(turn), ...modes.slice(0, turn)]) {
      const settling: Promise<void>[] = [];
      for (const { signer, turnTo, windows } of running) {
        await turnTo(mode);
        const settled = await measureWindow(signer, windowMs);
        settling.push(settled().then((window) => void windows[mode].push(window)));
      }
      await Promise.all(settling);
    }
  }
  const all = (mode: Mode): Window[] => running.flatMap(({ windows }) => windows[mode]);
  const costOf = ({ cpuMicroseconds }: Window): number => cpuMicroseconds;
  const added = (mode: Mode, base: Mode): number =>
    median(all(mode).map((window, place) => costOf(window) / costOf(all(base)[place] ?? window))) -
    1;
  return {
    table: [
      ['', 'payments a second', 'CPU µs each', 'by process', 'p50 ms'],
      ...modes.map((mode) => [
        labels[mode],
        formatNumber(median(all(mode).map(({ perSecond }) => perSecond))),
        formatNumber(median(all(mode).map(costOf))),
        running.map(({ windows }) => formatNumber(median(windows[mode].map(costOf)))).join(' '),
        formatNumber(median(all(mode).map(({ latencyMs }) => latencyMs))),
      ]),
    ],
    notes: [
      `${windowNote}; ${processes} processes, each turned from one to the next in ${rounds} rounds, compared with itself in the same round; ` +
        `a collector in the bench's process, which got ${Math.round(collector.receivedBytes() / 1024)} KiB`,
    ],
    figures: [
      { name: 'noise: CPU of a payment that the same again adds', value: added('same', 'off') },
      {
        name: 'CPU of a payment that metrics add, traces off, of one without metrics',
        value: added('off', 'bare'),
        goal: { atMost: 0.02 },
      },
      {
        name: 'CPU of a payment that metrics and traces of a tenth add, of one without both',
        value: added('sampled', 'bare'),
        goal: { atMost: 0.1 },
      },
      {
        name: 'CPU of a payment that metrics and traces of all add, of one without both',
        value: added('on', 'bare'),
        goal: { atMost: 0.1 },
      },
    ],
  };
};

/** Takes what is sent and keeps nothing of it, so that it takes little of the machine that is measured. */
async function startSink() {
  let receivedBytes = 0;
  const server = http.createServer((request, response) => {
    request.on('data', (chunk: Buffer) => (receivedBytes += chunk.length));
    request.on('end', () => response.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/v1/traces`,
    receivedBytes: () => receivedBytes,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
