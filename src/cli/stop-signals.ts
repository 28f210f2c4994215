import { constants } from 'node:os';

/**
 * A second signal ends the program at once, but not within this time: under npm a single Ctrl-C may arrive twice, from the
 * terminal and passed on.
 */
const repeatedSignalMs = 1_000;

/**
 * Ends the program by the signal itself. The first process of a container needs this: it gets only signals that it listens to.
 */
function endAtOnce(signal: NodeJS.Signals): void {
  process.off('SIGINT', endAtOnce).off('SIGTERM', endAtOnce);
  process.kill(process.pid, signal);
  process.exit(128 + constants.signals[signal]);
}

/**
 * Makes SIGINT and SIGTERM end the program, until {@link onStopSignal} is called: before it serves there is nothing to finish.
 */
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

/** Long enough for everything that was closed to release its sockets and threads. */
const endsAfterMs = 1_000;

/** Ends a program that has closed everything of its own, even where something that a plugin left open would keep it running. */
export function endSoon(): void {
  setTimeout(() => process.exit(), endsAfterMs).unref();
}
