const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;

/** Milliseconds of `"90s"`, `"15m"`, `"4h"` or `"7d"`; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const [, digits = '', letter] = /^(\d{1,8})\s*([smhd])$/.exec(text) ?? [];
  const factor = units.find(([unit]) => unit === letter)?.[1];
  return factor === undefined ? undefined : Number(digits) * factor;
}

/** Writes whole seconds in the largest unit that fits, such as `"4h"`, so that {@link parseDuration} can read it. */
export function formatDuration(milliseconds: number): string {
  const [unit, factor] = units.find(([, factor]) => milliseconds % factor === 0) ?? ['s', 1_000];
  return `${milliseconds / factor}${unit}`;
}
