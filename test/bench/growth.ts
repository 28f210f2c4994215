import { setTimeout as delay } from 'node:timers/promises';
import { type Measured, runLoad } from './load.ts';
import { type Scenario, formatNumber } from './result.ts';
import { type SignerProcess, localKeystore, startSignerProcess } from './signer-process.ts';

const connections = 16;
/** V8 collects what is garbage and gives memory back some seconds after the last request. */
const restMs = 15_000;
const warmUpSeconds = 30;
const soakSeconds = 600;
const mebibyte = 2 ** 20;
/** Garbage must not hide what is kept: V8 otherwise lets its heap grow by tens of MiB before it looks. */
const smallHeap = { NODE_OPTIONS: '--max-semi-space-size=4 --max-old-space-size=96' };

/** Payments a second and memory after 1, 1,000 and 100,000 sessions; with `--soak`, ten minutes of payments besides. */
export const growth: Scenario = async ({ folder, isSoak, say }) => {
  const signer = await startSignerProcess({
    folder,
    key: localKeystore,
    environment: smallHeap,
  });
  try {
    say('warming up');
    await payFor(signer, warmUpSeconds);
    const rows = [];
    for (const sessions of [1, 1_000, 100_000]) {
      say(`${sessions} sessions`);
      const measured = await runLoad(
        { kind: 'sessions', url: signer.url, connections, tickets: 1, sessions },
        signer.cpuMicroseconds,
      );
      rows.push(await describe(`${sessions} sessions`, measured, signer));
    }
    if (isSoak) {
      say(`soak of ${soakSeconds} s`);
      const measured = await payFor(signer, soakSeconds);
      rows.push(await describe(`${soakSeconds} s of running sessions`, measured, signer));
    }
    const [, thousand, hundredThousand, soaked] = rows.map(({ residentBytes }) => residentBytes);
    const growthOf = (bytes = NaN): number => (bytes - (thousand ?? NaN)) / mebibyte;
    const goal = { atMost: 20 };
    return {
      table: [
        ['after', 'payments a second', 'resident MiB'],
        ...rows.map(({ name, perSecond, residentBytes }) => [
          name,
          formatNumber(perSecond),
          formatNumber(residentBytes / mebibyte),
        ]),
      ],
      notes: [
        `memory ${restMs / 1000} s after the last payment, with a heap of at most 96 MiB; the first ${warmUpSeconds} s of payments are not counted`,
      ],
      figures: [
        {
          name: 'MiB more after 100,000 sessions than after 1,000',
          value: growthOf(hundredThousand),
          goal,
        },
        ...(isSoak ? [{ name: 'MiB more after the soak', value: growthOf(soaked), goal }] : []),
      ],
    };
  } finally {
    await signer.stop();
  }
};

function payFor(signer: SignerProcess, seconds: number): Promise<Measured> {
  return runLoad(
    {
      kind: 'payments',
      url: signer.url,
      connections,
      tickets: 1,
      warmUpMs: 0,
      durationMs: seconds * 1000,
    },
    signer.cpuMicroseconds,
  );
}

async function describe(name: string, { perSecond }: Measured, signer: SignerProcess) {
  await delay(restMs);
  return { name, perSecond, residentBytes: signer.residentBytes() };
}
