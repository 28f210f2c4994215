const warmUpMs = 300;
const measureMs = 700;
const batch = 20;

/** Microseconds of this thread's CPU that one call takes, once it is compiled. */
export function cpuCost(work: () => unknown): number {
  repeat(work, warmUpMs);
  const before = process.threadCpuUsage();
  const calls = repeat(work, measureMs);
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / calls;
}

function repeat(work: () => unknown, durationMs: number): number {
  const endsAtMs = performance.now() + durationMs;
  let calls = 0;
  while (performance.now() < endsAtMs) {
    for (let call = 0; call < batch; call += 1) work();
    calls += batch;
  }
  return calls;
}
