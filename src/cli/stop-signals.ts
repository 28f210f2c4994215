/**
 * A second signal ends the program at once, but not within this time: Ctrl-C may come twice under npm, from the terminal
 * and passed on.
 */
const repeatedSignalMs = 1_000;

/** Calls `stop` at the first SIGINT or SIGTERM. */
export function onStopSignal(stop: (signal: NodeJS.Signals) => void): void {
  let isStopping = false;
  const take = (signal: NodeJS.Signals): void => {
    if (isStopping) return;
    isStopping = true;
    setTimeout(() => process.off('SIGINT', take).off('SIGTERM', take), repeatedSignalMs).unref();
    stop(signal);
  };
  process.on('SIGINT', take).on('SIGTERM', take);
}
