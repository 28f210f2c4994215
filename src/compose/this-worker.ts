/** The environment variables that tell a worker its place. */
export const workerVariables = {
  /** 1 to the number of workers; a worker that replaces another takes over its number, and with it the files that it wrote */
  slot: 'LIVEPEER_HSM_SIGNER_WORKER',
} as const;

/** The number of this process among those of the signer, from 1; a process that was not started as a worker is number 1. */
export function workerSlot(): number {
  return Number(process.env[workerVariables.slot] ?? 1);
}
