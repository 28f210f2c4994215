import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chooseSecp256k1 } from '../../plugins/local-keystore/secp256k1.ts';
import { cpuCost } from './cpu-cost.ts';
import { runLoad } from './load.ts';
import { readCpuMicroseconds } from './process-usage.ts';
import { openSeal } from './sealed-state.ts';

/** Microseconds of CPU that no payment of one ticket can do without. */
export type Floor = {
  readonly sign: number;
  readonly sealVerify: number;
  readonly seal: number;
  readonly emptyRequest: number;
  readonly sum: number;
};

/** About as long as a payment's state is. */
const stateBytes = 600;

/** Measures one native signature, one state's verification and seal, and one empty express request. */
export async function measureFloor(connections: number): Promise<Floor> {
  const secp256k1 = chooseSecp256k1();
  const digest = new Uint8Array(32).fill(7);
  const privateKey = new Uint8Array(32).fill(1);
  const sign = cpuCost(() => secp256k1.sign(digest, privateKey));
  const seal = await openSeal(new Uint8Array(stateBytes).fill(0x61));
  const sealCost = cpuCost(seal.seal);
  const sealVerify = cpuCost(seal.verify);
  seal.close();
  const emptyRequest = await measureEmptyRequest(connections);
  return {
    sign,
    sealVerify,
    seal: sealCost,
    emptyRequest,
    sum: sign + sealVerify + sealCost + emptyRequest,
  };
}

async function measureEmptyRequest(connections: number): Promise<number> {
  const server = spawn(process.execPath, [`${import.meta.dirname}/empty-express.ts`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(server, 'exit');
  try {
    const [line] = (await once(server.stdout, 'data')) as [Buffer];
    const { cpuMicroseconds } = await runLoad(
      {
        kind: 'empty',
        url: line.toString().trim(),
        connections,
        warmUpMs: 2_000,
        durationMs: 3_000,
      },
      () => readCpuMicroseconds(server.pid ?? 0),
    );
    return cpuMicroseconds;
  } finally {
    server.kill();
    await exited;
  }
}
