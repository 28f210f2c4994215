import { availableParallelism } from 'node:os';
import { runLoad } from './load.ts';
import { type Scenario, formatNumber, median } from './result.ts';
import { localKeystore, startSignerProcess } from './signer-process.ts';

const rounds = 3;
const warmUpMs = 5_000;
const durationMs = 4_000;
const connections = 32;
/** Two for the workers, and one for the load and the primary process. */
const coresNeeded = 3;

/** Payments a second of two workers against one, local keystore. */
export const workers: Scenario = async ({ folder, say }) => {
  const perSecond = { 1: [] as number[], 2: [] as number[] };
  for (let round = 0; round < rounds; round += 1) {
    for (const count of [1, 2] as const) {
      say(`${count} of 2 workers, round ${round + 1} of ${rounds}`);
      const signer = await startSignerProcess({ folder, key: localKeystore, workers: count });
      try {
        const measured = await runLoad(
          { kind: 'payments', url: signer.url, connections, tickets: 1, warmUpMs, durationMs },
          signer.cpuMicroseconds,
        );
        perSecond[count].push(measured.perSecond);
      } finally {
        await signer.stop();
      }
    }
  }
  const [one, two] = [median(perSecond[1]), median(perSecond[2])];
  const cores = availableParallelism();
  const figure = { name: 'payments a second of two workers over one', value: two / one };
  return {
    table: [
      ['workers', 'payments a second'],
      ['1', formatNumber(one)],
      ['2', formatNumber(two)],
    ],
    notes:
      cores < coresNeeded
        ? [
            `the goal, at least 1.7, needs two cores free beside the load; this machine has ${cores} in all`,
          ]
        : [],
    figures: [cores < coresNeeded ? figure : { ...figure, goal: { atLeast: 1.7 } }],
  };
};
