import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Cli } from '../cli/cli.ts';
import type { GuardedConfig } from './guarded-config.ts';
import { readCpuMicroseconds, readResidentBytes } from './process-usage.ts';

const chain = `chain:
  source: static
  l1Block: 20999970
  round: 3800
  roundBlockHash: "0x7624778dedc75f8b322b9fa1632a610d40b85e106c7d9bf0e743a9ce291b9c6f"
  deposit: 0.5 ether
  reserve: 0.5 ether
`;

/** As the systemd unit and the image start it. */
const heapOfService = '--max-semi-space-size=16';

export type SignerProcessOptions = {
  /** where its files lie */
  readonly folder: string;
  /** the `keys` entry of its configuration, as JSON has it */
  readonly key: Readonly<Record<string, unknown>>;
  readonly workers?: number;
  /** what its configuration file is called; the provider's name when left out */
  readonly name?: string;
  readonly guarded?: GuardedConfig;
  readonly environment?: Record<string, string>;
};

/** `livepeer-hsm-signer serve` in a process of its own, on a free port. */
export type SignerProcess = {
  readonly url: string;
  readonly pid: number;
  /** from the start of the process until it listened */
  readonly readyAfterMs: number;
  /** CPU it has used so far, its workers' included */
  readonly cpuMicroseconds: () => number;
  readonly residentBytes: () => number;
  stop(): Promise<void>;
};

export async function startSignerProcess(options: SignerProcessOptions): Promise<SignerProcess> {
  const { folder, key, workers = 1, environment = {}, guarded } = options;
  const { name = String(key['provider']).replaceAll(/\W/g, '') } = options;
  const config = join(folder, `signer-${name}.yaml`);
  writeFileSync(
    config,
    `server: { workers: ${workers} }\nkeys: [${JSON.stringify(key)}]\n${chain}${guarded?.yaml ?? ''}`,
  );
  const cli = new Cli(['serve', '--config', config, '--listen', '127.0.0.1:0'], {
    ...environment,
    NODE_OPTIONS: `${heapOfService} ${environment['NODE_OPTIONS'] ?? ''}`,
  });
  const url = await cli.listening();
  // log lines are not kept: a bench writes hundreds of thousands
  cli.child.stderr?.removeAllListeners('data').resume();
  const readyAfterMs = performance.now() - cli.startedAt;
  const pid = cli.child.pid ?? 0;
  return {
    url,
    pid,
    readyAfterMs,
    cpuMicroseconds: () => readCpuMicroseconds(pid),
    residentBytes: () => readResidentBytes(pid),
    stop: async () => {
      cli.child.kill('SIGTERM');
      const { status } = await cli.ended();
      if (status !== 0) throw new Error(`the signer ended with status ${status}`);
    },
  };
}

/** A `keys` entry that makes a development key in the folder. */
export const localKeystore = {
  provider: 'local-keystore',
  path: 'keystore',
  password: 'file:keystore-password',
  generateIfMissing: true,
};
