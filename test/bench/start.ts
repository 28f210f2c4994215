import { type Scenario, formatNumber, median } from './result.ts';
import { localKeystore, startSignerProcess } from './signer-process.ts';
import { spawnSync } from 'node:child_process';

const rounds = 7;

/** Time from the start of the process until it takes requests, with a local keystore. The floor is an empty Node program. */
export const start: Scenario = async ({ folder, say }) => {
  const startSigner = async (): Promise<number> => {
    const signer = await startSignerProcess({ folder, key: localKeystore });
    await signer.stop();
    return signer.readyAfterMs;
  };
  say('making the key');
  await startSigner();
  const readyMs: number[] = [];
  const emptyMs: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    readyMs.push(await startSigner());
    const startedAtMs = performance.now();
    spawnSync(process.execPath, ['-e', '0']);
    emptyMs.push(performance.now() - startedAtMs);
  }
  const value = median(readyMs);
  return {
    table: [
      ['', 'median ms', 'least ms', 'most ms'],
      ...[
        ['signer, start to ready', readyMs] as const,
        ['empty Node program, start to end', emptyMs] as const,
      ].map(([name, times]) => [
        name,
        ...[median(times), Math.min(...times), Math.max(...times)].map(formatNumber),
      ]),
    ],
    notes: [],
    figures: [{ name: 'start to ready, ms', value, goal: { atMost: 500 } }],
  };
};
