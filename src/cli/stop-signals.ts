import { constants } from 'node:os';

/**
 * A second signal ends the program at once, but not within this time: Ctrl-C may come twice under npm, from the terminal
 * and passed on.
 */
const repeatedSignalMs = 1_000;

/** By the signal itself, which the first process of a container does not die of: it takes only those that it listens to. */
function endAtOnce(signal: NodeJS.Signals): void {
  process.off('SIGINT', endAtOnce).off('SIGTERM', endAtOnce);
  process.kill(process.pid, signal);
  process.exit(128 + constants.signals[signal]);
}

/** Ends the program at a SIGINT or SIGTERM, until {@link onStopSignal} is called: before it serves it has nothing to finish. */
export function endAtStopSignal(): void {
  process.on('SIGINT', endAtOnce).on('SIGTERM', endAtOnce);
}

/** Calls `stop` at the first SIGINT or SIGTERM. */
export function onStopSignal(stop: (signal: NodeJS.Signals) => void): void {
  let isStopping = false;
  const take = (signal: NodeJS.Signals): void => {
    if (isStopping) return;
    isStopping = true;
    setTimeout(() => {
      endAtStopSignal();
      process.off('SIGINT', take).off('SIGTERM', take);
    }, repeatedSignalMs).unref();
    stop(signal);
  };
  process.on('SIGINT', take).on('SIGTERM', take);
  process.off('SIGINT', endAtOnce).off('SIGTERM', endAtOnce);
}

/** Long enough for what was closed to let go of its sockets and threads. */
const endsAfterMs = 1_000;

/** Ends a program that has closed all it had, and that something a plugin left open would keep from ending. */
export function endSoon(): void {
  setTimeout(() => process.exit(), endsAfterMs).unref();
}
