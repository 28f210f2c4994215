import { type ScenarioOptions, formatNumber, median } from './result.ts';
import { type SignerProcess, localKeystore, startSignerProcess } from './signer-process.ts';
import { type Window, measureWindow, payFor, windowNote } from './windows.ts';

export type Variant<Name extends string> = {
  readonly name: Name;
  readonly label: string;
  /** of its configuration, besides the audit log */
  readonly yaml: string;
};

export type Comparison<Name extends string> = {
  readonly table: string[][];
  readonly note: string;
  /** CPU of a payment that a variant takes beyond another one, as a share of that one's: the median of all rounds */
  readonly added: (name: Name, base: Name) => number;
};

/** Two processes of the same program may differ by several percent for as long as they live, by what was compiled when. */
const copies = 3;
/** Payments of each process before anything is measured: until then they cost up to twice as much. */
const warmUpPayments = 3_000;
const warmUpWindowMs = 2_000;
const windowMs = 700;

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
    for (const { name, yaml } of variants) {
      const signer = await startSignerProcess({
        folder,
        name: `${name}-${copy}`,
        key: localKeystore,
        guarded: { yaml: `audit: { path: audit-${name}-${copy} }\n${yaml}`, apiKey: '' },
      });
      opened.defer(() => signer.stop());
      signers.push({ name, signer, windows: [] });
    }
  }
  say('warming up');
  for (const { signer } of signers) {
    for (let paid = 0; paid < warmUpPayments;) {
      paid += (await payFor(signer, warmUpWindowMs)).requests;
    }
  }
  for (let round = 0; round < rounds; round += 1) {
    say(`round ${round + 1} of ${rounds}`);
    // which one is first changes, so that what the machine does meanwhile hits all alike
    const turn = round % signers.length;
    const settling: Promise<void>[] = [];
    for (const { signer, windows } of [...signers.slice(turn), ...signers.slice(0, turn)]) {
      const settled = await measureWindow(signer, windowMs);
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
    note: `${windowNote}; ${copies} processes of each, ${rounds} rounds of all in turns`,
    added: (name, base) => {
      const ofBase = costs(base);
      return median(costs(name).map((cost, round) => cost / (ofBase[round] ?? NaN) - 1));
    },
  };
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
