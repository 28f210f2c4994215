import { basename } from 'node:path';
import { RecordsError } from '../errors.ts';
import { countBytesAfter, findPosition } from './outbox.ts';
import { positionsFile, readPositions } from './positions.ts';

export type BacklogLimitOptions = {
  readonly auditFolder: string;
  /** the folder of the chain that this process writes */
  readonly chainFolder: string;
  readonly sinks: readonly string[];
  /** bytes of this process's chain that may wait for delivery */
  readonly maxBytes: number;
};

export type BacklogLimit = {
  /** Throws `EVENTS_UNAVAILABLE` while too much waits for delivery: a payment made then could not be billed. */
  require(): void;
  close(): void;
};

const lookAgainMs = 1_000;

/** Watches how much of a chain waits for delivery, by the positions that the delivering process writes. */
export function watchBacklogLimit(options: BacklogLimitOptions): BacklogLimit {
  const { auditFolder, chainFolder, sinks, maxBytes } = options;
  let waitingBytes = 0;
  let looking = false;

  async function look(): Promise<void> {
    const chain = basename(chainFolder);
    let most = 0;
    for (const sink of sinks) {
      const positions = await readPositions(positionsFile(auditFolder, sink));
      const position = await findPosition(chainFolder, positions[chain]);
      if (position) most = Math.max(most, await countBytesAfter(chainFolder, position));
    }
    waitingBytes = most;
  }

  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    // a file that can't be read is reported by the delivering process; the audit log has its own check
    void look()
      .catch(() => undefined)
      .finally(() => (looking = false));
  }, lookAgainMs);
  timer.unref();

  return {
    require() {
      if (waitingBytes < maxBytes) return;
      throw new RecordsError(
        'EVENTS_UNAVAILABLE',
        `${waitingBytes} bytes of the audit log wait for the delivery of their events, and ${maxBytes} may`,
        { retryable: true, data: { actual: String(waitingBytes), maximum: String(maxBytes) } },
      );
    },
    close: () => clearInterval(timer),
  };
}
