// node test/bench/measure-rate.ts PROVIDER: prints how many payments of one ticket a second one worker makes on one core of this
// machine, over the provider and a stand-in for its device.
import { Folder } from '../cli/cli.ts';
import { openDevice } from './devices.ts';
import { runLoad } from './load.ts';
import { startSignerProcess } from './signer-process.ts';

const connections = 16;

const name = process.argv[2] ?? '';
using folder = new Folder();
const { key, environment, close } = await openDevice(name, folder.path);
try {
  const signer = await startSignerProcess({
    folder: folder.path,
    key,
    ...(environment && { environment }),
  });
  try {
    const { cpuMicroseconds } = await runLoad(
      {
        kind: 'payments',
        url: signer.url,
        connections,
        tickets: 1,
        warmUpMs: 2_000,
        durationMs: 3_000,
      },
      signer.cpuMicroseconds,
    );
    console.log((1_000_000 / cpuMicroseconds).toFixed(0));
  } finally {
    await signer.stop();
  }
} finally {
  await close();
}
