import { writeGuardedConfig } from './guarded-config.ts';
import { type Measured, runLoad } from './load.ts';
import { readCpuMicroseconds } from './process-usage.ts';
import { type Figure, type Scenario, formatNumber, median } from './result.ts';
import { localKeystore, startSignerProcess } from './signer-process.ts';

const rounds = 7;
const connections = 64;
const firstWarmUpMs = 20_000;
const warmUpMs = 1_000;
const durationMs = 4_000;
const workers = 2;

type Server = {
  readonly name: string;
  readonly url: string;
  readonly apiKey?: string;
  /** undefined where its process is not known */
  readonly cpuMicroseconds: (() => number) | undefined;
};

/**
 * Other remote signers beside this one, which runs with a local keystore, authentication and the audit log: the same load in
 * alternating windows, each session carrying its state as a client does. `addresses` are URLs, with `#PID` behind it where the CPU
 * of its process is to be read.
 */
export function peer(addresses: readonly string[]): Scenario {
  return async ({ folder, say }) => {
    const guarded = writeGuardedConfig(folder, { hasRules: false });
    const own = await startSignerProcess({ folder, key: localKeystore, guarded, workers });
    const servers: Server[] = [
      {
        name: 'this signer',
        url: own.url,
        apiKey: guarded.apiKey,
        cpuMicroseconds: own.cpuMicroseconds,
      },
      ...addresses.map(toServer),
    ];
    const rows: string[][] = [];
    const figures: Figure[] = [];
    try {
      for (const tickets of [1, 20]) {
        const measured = servers.map((): Measured[] => []);
        for (let round = 0; round <= rounds; round += 1) {
          say(`${tickets} tickets, window ${round} of ${rounds}`);
          for (const [index, server] of servers.entries()) {
            const one = await load(server, tickets, round === 0 ? firstWarmUpMs : warmUpMs);
            // the first one warms up
            if (round > 0) measured[index]?.push(one);
          }
        }
        const [ours = []] = measured;
        for (const [index, { name, cpuMicroseconds }] of servers.entries()) {
          const theirs = measured[index] ?? [];
          const ratio = (read: (one: Measured) => number): number =>
            median(ours.map((one, round) => read(one) / read(theirs[round] ?? one)));
          const cpu = ratio((one) => one.cpuMicroseconds);
          const rate = ratio((one) => one.perSecond);
          const isKnown = cpuMicroseconds !== undefined;
          rows.push([
            `${name}, ${tickets} tickets`,
            formatNumber(median(theirs.map(({ perSecond }) => perSecond))),
            isKnown ? formatNumber(median(theirs.map((one) => one.cpuMicroseconds))) : '',
            formatNumber(median(theirs.map(({ latenciesMs }) => median(latenciesMs)))),
          ]);
          if (index === 0) continue;
          figures.push({ name: `payments a second of ${tickets}, of ${name}`, value: rate });
          if (isKnown) {
            figures.push({ name: `CPU of a payment of ${tickets}, of ${name}`, value: cpu });
          }
        }
      }
    } finally {
      await own.stop();
    }
    return {
      table: [['', 'payments a second', 'CPU µs each', 'p50 ms'], ...rows],
      notes: [
        `${connections} connections, ${workers} workers of this signer; medians of ${rounds} alternating windows, ratios window by window`,
      ],
      figures,
    };
  };
}

function toServer(address: string): Server {
  const { hash, origin: url } = new URL(address);
  const pid = Number(hash.slice(1));
  return {
    name: url,
    url,
    cpuMicroseconds: hash === '' ? undefined : () => readCpuMicroseconds(pid),
  };
}

function load(server: Server, tickets: number, pauseMs: number): Promise<Measured> {
  const { url, apiKey, cpuMicroseconds = () => NaN } = server;
  return runLoad(
    {
      kind: 'payments',
      url,
      ...(apiKey !== undefined && { apiKey }),
      connections,
      tickets,
      warmUpMs: pauseMs,
      durationMs,
    },
    cpuMicroseconds,
  );
}
