import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chooseSecp256k1 } from '../../plugins/local-keystore/secp256k1.ts';
import { toEthereumSignature, toEthereumSignatures } from '../../src/keys/signature.ts';
import { cpuCost } from './cpu-cost.ts';
import { durableRecordCost } from './durable-record.ts';
import { runLoad } from './load.ts';
import { readCpuMicroseconds } from './process-usage.ts';
import { openSeal } from './sealed-state.ts';

/** Microseconds of CPU that no payment of one ticket can do without. */
export type Floor = {
  readonly sign: number;
  /** that the signature is the key's, by itself */
  readonly proof: number;
  readonly seal: number;
  readonly emptyRequest: number;
  readonly durableRecord: number;
  readonly sum: number;
  /** a signature and its proof, of twenty that are proved together; not in the sum */
  readonly ofTwenty: number;
};

const batch = 20;

/** About as long as a payment's state is. */
const stateBytes = 600;

/**
 * Measures one native signature and its proof, one state's seal, one empty express request, and one record that is on disk, of so
 * many at once as there are connections. The folder is for the record's file.
 */
export async function measureFloor(connections: number, folder: string): Promise<Floor> {
  const secp256k1 = chooseSecp256k1();
  const digest = new Uint8Array(32).fill(7);
  const privateKey = new Uint8Array(32).fill(1);
  const sign = cpuCost(() => secp256k1.sign(digest, privateKey));
  const publicKey = secp256k1.publicKeyOf(privateKey);
  const reply = { encoding: 'raw', ...secp256k1.sign(digest, privateKey) } as const;
  const proof = cpuCost(() => toEthereumSignature(reply, digest, publicKey));
  const digests = new Array<Uint8Array>(batch).fill(digest);
  const replies = new Array<typeof reply>(batch).fill(reply);
  const proofs = cpuCost(() => toEthereumSignatures(replies, digests, publicKey));
  const seal = await openSeal(new Uint8Array(stateBytes).fill(0x61));
  const sealCost = cpuCost(seal.seal);
  seal.close();
  const emptyRequest = await measureEmptyRequest(connections);
  const durableRecord = await durableRecordCost(connections, folder);
  return {
    sign,
    proof,
    seal: sealCost,
    emptyRequest,
    durableRecord,
    sum: sign + proof + sealCost + emptyRequest + durableRecord,
    ofTwenty: sign + proofs / batch,
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
