import { type Sample, total, totalsBy } from './samples.ts';

/** The counters at one moment. */
type Point = {
  /** milliseconds of a monotonic clock */
  readonly atMs: number;
  readonly payments: number;
  readonly refusals: number;
  readonly evWei: number;
  readonly evWeiBySender: ReadonlyMap<string, number>;
};

/** How often the counters are read. */
export const lookIntervalMs = 10_000;
const longestPoints = 361;

/** The points of the curves: for each time in `at`, what was counted per second since the time before. */
export type Curves = {
  /** Unix seconds */
  readonly at: readonly number[];
  readonly payments: readonly number[];
  readonly refusals: readonly number[];
  /** ether an hour */
  readonly evEther: readonly number[];
};

/** The counters of the last hour. All figures made from them are estimates, for display only. */
export class History {
  readonly #points: Point[] = [];

  add(samples: readonly Sample[], atMs: number): void {
    const ev = 'livepeer_hsm_signer_expected_value_wei_total';
    this.#points.push({
      atMs,
      payments: total(samples, 'livepeer_hsm_signer_payments_total'),
      refusals: total(samples, 'livepeer_hsm_signer_refusals_total'),
      evWei: total(samples, ev),
      evWeiBySender: totalsBy(samples, ev, 'sender'),
    });
    if (this.#points.length > longestPoints) this.#points.shift();
  }

  /** The average expected value per second, in wei, over what is remembered; undefined while there is too little. */
  evWeiPerSecond(sender: string): number | undefined {
    const [first, last] = [this.#points[0], this.#points.at(-1)];
    if (!first || !last || first === last) return undefined;
    const spent = (last.evWeiBySender.get(sender) ?? 0) - (first.evWeiBySender.get(sender) ?? 0);
    return Math.max(0, spent) / ((last.atMs - first.atMs) / 1000);
  }

  /** The curves. `unixMs` is the present time, and `nowMs` the same by the clock of the points. */
  curves(unixMs: number, nowMs: number): Curves {
    const steps = this.#points
      .slice(1)
      .map((point, index) => ({ point, before: this.#points[index] ?? point }));
    const rate = (count: (point: Point) => number): number[] =>
      steps.map(({ point, before }) =>
        Math.max(
          0,
          (count(point) - count(before)) / Math.max(0.001, (point.atMs - before.atMs) / 1000),
        ),
      );
    return {
      at: steps.map(({ point }) => Math.round((unixMs - (nowMs - point.atMs)) / 1000)),
      payments: rate(({ payments }) => payments),
      refusals: rate(({ refusals }) => refusals),
      evEther: rate(({ evWei }) => (evWei / 1e18) * 3600),
    };
  }
}
