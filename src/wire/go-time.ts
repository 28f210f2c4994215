const nanosecondsPerMillisecond = 1_000_000n;
const nanosecondsPerSecond = 1_000_000_000n;
const nanosecondsPerMinute = 60n * nanosecondsPerSecond;

const rfc3339 =
  /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:[.,](\d+))?(Z|[+-](?:[01]\d|2[0-4]):(?:[0-5]\d|60))$/;

/** Go's zero time, which stands for "never". */
const zeroTime = '0001-01-01T00:00:00Z';

/** Unix nanoseconds as Go writes a UTC `time.Time`: up to 9 fraction digits, trailing zeros cut. */
export function formatGoTime(unixNanoseconds: bigint | undefined): string {
  if (unixNanoseconds === undefined) return zeroTime;
  const nanoseconds =
    ((unixNanoseconds % nanosecondsPerSecond) + nanosecondsPerSecond) % nanosecondsPerSecond;
  const milliseconds = (unixNanoseconds - nanoseconds) / nanosecondsPerMillisecond;
  const seconds = new Date(Number(milliseconds)).toISOString().slice(0, 19);
  const fraction = nanoseconds.toString().padStart(9, '0').replace(/0+$/, '');
  return fraction === '' ? `${seconds}Z` : `${seconds}.${fraction}Z`;
}

/**
 * Reads RFC 3339 text as Unix nanoseconds; digits past the ninth are cut off. Gives `zero` for Go's zero time, and undefined for
 * what is not a time, or not one that can be written again: in UTC it must be in the years 0 to 9999.
 */
export function parseGoTime(text: string): bigint | 'zero' | undefined {
  const parts = rfc3339.exec(text);
  if (!parts) return undefined;
  const [, seconds = '', fraction = '', offset = 'Z'] = parts;
  const milliseconds = Date.parse(`${seconds}Z`);
  if (Number.isNaN(milliseconds)) return undefined;
  if (new Date(milliseconds).toISOString().slice(0, 19) !== seconds) return undefined;
  const offsetMinutes =
    offset === 'Z' ? 0n : BigInt(offset.slice(1, 3)) * 60n + BigInt(offset.slice(4, 6));
  const unixNanoseconds =
    BigInt(milliseconds) * nanosecondsPerMillisecond +
    BigInt(fraction.slice(0, 9).padEnd(9, '0')) +
    (offset.startsWith('-') ? offsetMinutes : -offsetMinutes) * nanosecondsPerMinute;
  if (unixNanoseconds < earliest || unixNanoseconds >= end) return undefined;
  return unixNanoseconds === zeroTimeUnixNanoseconds ? 'zero' : unixNanoseconds;
}

const earliest = BigInt(Date.parse('0000-01-01T00:00:00Z')) * nanosecondsPerMillisecond;
const end = BigInt(Date.parse('+010000-01-01T00:00:00Z')) * nanosecondsPerMillisecond;

const zeroTimeUnixNanoseconds = BigInt(Date.parse(zeroTime)) * nanosecondsPerMillisecond;
