import { join } from 'node:path';
import { Cli, type Folder, devConfig } from '../cli/cli.ts';
import { readRecords } from './evidence.ts';

/** `livepeer-hsm-signer serve` with a policy file, an audit log and a store in a folder, in a process of its own. */
export type ServeProcess = AsyncDisposable & {
  readonly url: string;
  /** for an auth token that holds by the system's clock, in Unix seconds */
  readonly tokenExpiration: bigint;
  /** how many ticket signatures its key was asked for, by its audit log */
  ticketSignatures(): number;
  /** of how many of them it let go: a signature leaves only once the log says that it was made */
  ticketsLetGo(): number;
  /** the tickets that its key was asked to sign, by their hashes */
  ticketDigests(): readonly string[];
  /** how many of its workers have made payments, by its audit log */
  payingWorkers(): number;
  /** Ends it with SIGKILL. */
  kill(): Promise<void>;
};

export type ServeOptions = {
  readonly policy: string;
  readonly workers?: number;
  /** the `store` section; the embedded one when left out */
  readonly store?: Readonly<Record<string, unknown>>;
  /** the folder of the audit log; several processes may not share one */
  readonly audit?: string;
  /** how long it goes on serving after SIGTERM; not at all when left out */
  readonly lameDuckMs?: number;
};

export async function startServeProcess(
  folder: Folder,
  {
    policy,
    workers = 1,
    store = { kind: 'embedded', path: 'store' },
    audit = 'audit',
    lameDuckMs = 0,
  }: ServeOptions,
): Promise<ServeProcess> {
  folder.write('policy.yaml', policy);
  const sections = {
    server: { listen: '127.0.0.1:0', workers },
    policy: { file: 'policy.yaml' },
    audit: { path: audit },
    store,
  };
  const lines = Object.entries(sections).map(
    ([name, section]) => `${name}: ${JSON.stringify(section)}`,
  );
  const config = folder.write(`${audit}.yaml`, `${devConfig}${lines.join('\n')}\n`);
  const cli = new Cli(['serve', '--config', config], {
    LIVEPEER_HSM_SIGNER__SERVER__LAME_DUCK_MS: `${lameDuckMs}`,
  });
  const auditFolder = join(folder.path, audit);
  const batches = () =>
    readRecords(auditFolder).filter(
      ({ kind, intent }) => kind === 'key-use' && intent === 'ticket-batch',
    );
  const ticketsLetGo = (): number => {
    const isSigned = new Set(
      readRecords(auditFolder).flatMap(({ kind, use }) => (kind === 'signed' ? [use] : [])),
    );
    return batches()
      .filter(({ use }) => isSigned.has(use))
      .reduce((sum, record) => sum + (record['digests'] as string[]).length, 0);
  };
  const digests = () => batches().flatMap((record) => record['digests'] as string[]);
  return {
    url: await cli.listening(),
    tokenExpiration: BigInt(Math.floor(Date.now() / 1000)) + 3_600n,
    ticketSignatures: () => digests().length,
    ticketsLetGo,
    ticketDigests: digests,
    payingWorkers: () => new Set(batches().map(({ use }) => String(use).split('-')[0])).size,
    async kill() {
      cli.child.kill('SIGKILL');
      await cli.ended();
    },
    async [Symbol.asyncDispose]() {
      cli.child.kill('SIGTERM');
      await cli.ended();
    },
  };
}
