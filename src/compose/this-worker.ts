import { randomId } from '../random-id.ts';

/** The environment variables that tell a worker of its place. */
export const workerVariables = {
  /**
   * 1 to the number of workers; one that replaces another takes over its number, and with it the files that it wrote
   */
  slot: 'LIVEPEER_HSM_SIGNER_WORKER',
  count: 'LIVEPEER_HSM_SIGNER_WORKERS',
  instance: 'LIVEPEER_HSM_SIGNER_INSTANCE',
} as const;

/** Which of the processes of a signer this is. */
export type ThisWorker = {
  /** the same for all workers of one signer, another one after each start */
  readonly instance: string;
  readonly slot: number;
  readonly count: number;
};

const ownInstance = randomId();

/** A process that is nobody's worker is the first of one. */
export function thisWorker(): ThisWorker {
  const { env } = process;
  return {
    instance: env[workerVariables.instance] ?? ownInstance,
    slot: Number(env[workerVariables.slot] ?? 1),
    count: Number(env[workerVariables.count] ?? 1),
  };
}
