import { setTimeout as delay } from 'node:timers/promises';
import { runLoad } from './load.ts';
import { type ScenarioOptions, formatNumber, median } from './result.ts';
import { type SignerProcess, localKeystore, startSignerProcess } from './signer-process.ts';

export type Variant<Name extends string> = {
  readonly name: Name;
  readonly label: string;
  /** of its configuration, besides the audit log */
  readonly yaml: string;
  readonly environment?: Record<string, string>;
};

export type Comparison<Name extends string> = {
  readonly table: string[][];
  readonly note: string;
  /** CPU of a payment that a variant takes beyond another one, as a share of that one's: the median of all rounds */
  readonly added: (name: Name, base: Name) => number;
};

/** Two processes of the same program may differ by several percent for as long as they live, by what was compiled when. */
const copies = 3;
/** Requests under way at once. */
const concurrency = 16;
/** Payments of each process before anything is measured: until then they cost up to twice as much. */
const warmUpPayments = 3_000;
const warmUpWindowMs = 2_000;
const windowMs = 700;
/** What follows a payment within a second, such as the delivery of its event, counts as its cost. */
const settleMs = 1_300;

type Window = {
  readonly perSecond: number;
  /** of a payment */
  readonly cpuMicroseconds: number;
  readonly latencyMs: number;
};

type Running<Name> = {
  readonly name: Name;
  readonly signer: SignerProcess;
  /** of each round */
  readonly windows: Window[];
};

/** The same payments by signers that are configured differently, in short windows that take turns. */
export async function compareVariants<Name extends string>(
  { folder, say }: Pick<ScenarioOptions, 'folder' | 'say'>,
  variants: readonly Variant<Name>[],
  rounds: number,
): Promise<Comparison<Name>> {
  await using opened = new AsyncDisposableStack();
  const signers: Running<Name>[] = [];
  for (let copy = 1; copy <= copies; copy += 1) {
    for (const { name, yaml, environment } of variants) {
      const signer = await startSignerProcess({
        folder,
        name: `${name}-${copy}`,
        key: localKeystore,
        guarded: { yaml: `audit: { path: audit-${name}-${copy} }\n${yaml}`, apiKey: '' },
        ...(environment && { environment }),
      });
      opened.defer(() => signer.stop());
      signers.push({ name, signer, windows: [] });
    }
  }
  say('warming up');
  for (const { signer } of signers) {
    for (let paid = 0; paid < warmUpPayments;) {
      paid += (await load(signer, warmUpWindowMs)).requests;
    }
  }
  for (let round = 0; round < rounds; round += 1) {
    say(`round ${round + 1} of ${rounds}`);
    // which one is first changes, so that what the machine does meanwhile hits all alike
    const turn = round % signers.length;
    const settling: Promise<void>[] = [];
    for (const { signer, windows } of [...signers.slice(turn), ...signers.slice(0, turn)]) {
      const settled = await measure(signer);
      settling.push(settled().then((window) => void windows.push(window)));
    }
    await Promise.all(settling);
  }
  const copiesOf = (name: Name): readonly Running<Name>[] =>
    signers.filter((running) => running.name === name);
  const costOf = ({ cpuMicroseconds }: Window): number => cpuMicroseconds;
  const costs = (name: Name): number[] =>
    Array.from({ length: rounds }, (_, round) =>
      mean(copiesOf(name).map(({ windows }) => windows[round]?.cpuMicroseconds ?? NaN)),
    );
  const row = ({ name, label }: Variant<Name>): string[] => {
    const all = copiesOf(name).flatMap(({ windows }) => windows);
    return [
      label,
      formatNumber(median(all.map(({ perSecond }) => perSecond))),
      formatNumber(median(costs(name))),
      copiesOf(name)
        .map(({ windows }) => formatNumber(median(windows.map(costOf))))
        .join(' '),
      formatNumber(median(all.map(({ latencyMs }) => latencyMs))),
    ];
  };
  return {
    table: [['', 'payments a second', 'CPU µs each', 'by process', 'p50 ms'], ...variants.map(row)],
    note:
      `payments of one ticket in running sessions, one worker, ${concurrency} requests under way at once, local keystore, audit log; ` +
      `CPU of all threads and processes of the signer, until ${settleMs / 1000} s after the last payment; ${copies} processes of each, ` +
      `${rounds} rounds of all in turns`,
    added: (name, base) => {
      const ofBase = costs(base);
      return median(costs(name).map((cost, round) => cost / (ofBase[round] ?? NaN) - 1));
    },
  };
}

function load({ url, cpuMicroseconds }: SignerProcess, durationMs: number) {
  const order = { kind: 'payments', connections: concurrency, tickets: 1, warmUpMs: 0 } as const;
  return runLoad({ ...order, durationMs, url }, cpuMicroseconds);
}

/** Ends with the load; what it gives has settled `settleMs` later, while other signers are under load. */
async function measure(signer: SignerProcess): Promise<() => Promise<Window>> {
  const before = signer.cpuMicroseconds();
  const { requests, perSecond, latenciesMs } = await load(signer, windowMs);
  const settled = delay(settleMs).then(() => signer.cpuMicroseconds() - before);
  const latencyMs = median(latenciesMs);
  return async () => ({ perSecond, cpuMicroseconds: (await settled) / requests, latencyMs });
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
