import { fork } from 'node:child_process';
import { once } from 'node:events';
import { runOnCores } from './process-usage.ts';

/** What the load process is to do. Each connection has one request under way at a time. */
export type LoadOrder = {
  readonly url: string;
  readonly connections: number;
  /** sent with each request */
  readonly apiKey?: string;
  /** the cores that the load may have; all when left out */
  readonly cores?: string | undefined;
} & (
  | {
      /** the payments of running sessions, one a connection */
      readonly kind: 'payments';
      readonly tickets: number;
      readonly warmUpMs: number;
      readonly durationMs: number;
    }
  /** requests without a body */
  | { readonly kind: 'empty'; readonly warmUpMs: number; readonly durationMs: number }
  /** the first payments of so many sessions */
  | { readonly kind: 'sessions'; readonly tickets: number; readonly sessions: number }
);

export type LoadReport = {
  /** answered with status 200 in the measured time */
  readonly requests: number;
  readonly seconds: number;
  /** of each request, unless a number of sessions was asked for */
  readonly latenciesMs: readonly number[];
};

/** The load's report, and what the server's process used meanwhile. */
export type Measured = LoadReport & {
  readonly perSecond: number;
  readonly cpuMicroseconds: number;
};

/**
 * Loads a server from a process of its own. `readCpu` gives the microseconds of CPU that the server has used so far; it is
 * read when the measured time begins and when it ends. Throws when a request is not answered with status 200.
 */
export async function runLoad(order: LoadOrder, readCpu: () => number): Promise<Measured> {
  const child = fork(new URL('load-process.ts', import.meta.url), { serialization: 'advanced' });
  let cpuBefore = 0;
  let cpuAfter: number | undefined;
  let report: LoadReport | undefined;
  child.on('message', (message: 'measuring' | 'measured' | LoadReport) => {
    if (message === 'measuring') cpuBefore = readCpu();
    else if (message === 'measured') cpuAfter = readCpu();
    else report = message;
  });
  if (order.cores !== undefined) runOnCores(child.pid ?? 0, order.cores);
  child.send(order);
  await once(child, 'exit');
  if (report === undefined) throw new Error('the load ended early: see its error above');
  const cpu = (cpuAfter ?? readCpu()) - cpuBefore;
  return {
    ...report,
    perSecond: report.requests / report.seconds,
    cpuMicroseconds: cpu / report.requests,
  };
}
