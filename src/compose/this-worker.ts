/** The environment variables that tell a worker of its place. */
export const workerVariables = {
  /**
   * 1 to the number of workers; one that replaces another takes over its number, and with it the files that it wrote
   */
  slot: 'LIVEPEER_HSM_SIGNER_WORKER',
} as const;

/** Which of the processes of a signer this is, from 1; a process that is nobody's worker is the first of one. */
export function workerSlot(): number {
  return Number(process.env[workerVariables.slot] ?? 1);
}
