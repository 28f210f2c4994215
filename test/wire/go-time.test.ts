import { describe, expect, it } from 'vitest';
import { formatGoTime, parseGoTime } from '../../src/wire/go-time.ts';
import { fc } from '../support/fast-check.ts';

const second = 1_000_000_000n;
const unix = (text: string) => BigInt(Date.parse(text)) * 1_000_000n;
const [earliest, latest] = [unix('0001-01-01T00:00:01Z'), unix('9999-12-31T23:59:59Z')];
const anyTime = fc.oneof(
  fc.bigInt({ min: earliest, max: latest }),
  fc.bigInt({ min: 0n, max: 4n * 10n ** 18n }),
  fc.bigInt({ min: earliest / second, max: latest / second }).map((seconds) => seconds * second),
);

describe('Go’s time text', () => {
  it('is read back as the same nanosecond', () => {
    fc.assert(
      fc.property(anyTime, (time) => {
        expect(parseGoTime(formatGoTime(time))).toBe(time);
      }),
      { numRuns: 1000 },
    );
  });

  it('is the calendar’s to the second, then the nanoseconds without trailing zeros', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date(0), noInvalidDate: true, max: new Date(8e12) }),
        fc.bigInt({ min: 0n, max: second - 1n }),
        (date, nanoseconds) => {
          const whole = BigInt(Math.floor(date.getTime() / 1000)) * second;
          const text = formatGoTime(whole + nanoseconds);
          const [seconds, fraction = ''] = text.slice(0, -1).split('.');
          expect(seconds).toBe(new Date(Number(whole / 1_000_000n)).toISOString().slice(0, 19));
          expect(text.endsWith('Z')).toBe(true);
          expect(BigInt(fraction.padEnd(9, '0'))).toBe(nanoseconds);
          expect(fraction).not.toMatch(/0$/);
        },
      ),
    );
  });

  it('is none where its year in UTC is not 0 to 9999, which could not be written again', () => {
    expect(parseGoTime('9999-12-31T23:59:59.999999999Z')).toBe(
      unix('9999-12-31T23:59:59Z') + 999_999_999n,
    );
    expect(parseGoTime('0000-01-01T00:00:00Z')).toBe(unix('0000-01-01T00:00:00Z'));
    expect(parseGoTime('9999-12-31T23:59:59-00:01')).toBeUndefined();
    expect(parseGoTime('9999-12-31T23:59:00-00:01')).toBeUndefined();
    expect(parseGoTime('9999-12-31T23:58:59-00:01')).toBe(unix('9999-12-31T23:59:59Z'));
    expect(parseGoTime('9999-12-31T23:59:59-24:60')).toBeUndefined();
    expect(parseGoTime('0000-01-01T00:00:00+00:01')).toBeUndefined();
  });

  it('of no time is Go’s zero time, and back', () => {
    expect(formatGoTime(undefined)).toBe('0001-01-01T00:00:00Z');
    expect(parseGoTime('0001-01-01T00:00:00Z')).toBe('zero');
    expect(parseGoTime('0001-01-01T00:00:00.000Z')).toBe('zero');
    expect(parseGoTime('0001-01-01T01:00:00+01:00')).toBe('zero');
    expect(parseGoTime('0001-01-01T00:00:00.000000001Z')).toBe(unix('0001-01-01T00:00:00Z') + 1n);
  });

  it.each([
    ['2026-04-07T20:00:00.123456789Z', unix('2026-04-07T20:00:00Z') + 123_456_789n],
    ['2026-04-07T20:00:00.1Z', unix('2026-04-07T20:00:00Z') + 100_000_000n],
    ['2026-04-07T20:00:00,5Z', unix('2026-04-07T20:00:00Z') + 500_000_000n],
    ['2026-04-07T20:00:00.1234567899Z', unix('2026-04-07T20:00:00Z') + 123_456_789n],
    ['2026-04-07T22:00:00+02:00', unix('2026-04-07T20:00:00Z')],
    ['2026-04-07T15:30:00-04:30', unix('2026-04-07T20:00:00Z')],
    ['2024-02-29T00:00:00Z', unix('2024-02-29T00:00:00Z')],
    ['1969-12-31T23:59:59.999999999Z', -1n],
  ])('%s is read', (text, time) => {
    expect(parseGoTime(text)).toBe(time);
  });

  it.each([
    ...[
      '',
      'now',
      '2026-04-07',
      '2026-04-07T20:00Z',
      '2026-04-07T20:00:00',
      '2026-04-07 20:00:00Z',
    ],
    ...[
      '2026-04-07t20:00:00z',
      '2026-4-7T20:00:00Z',
      '26-04-07T20:00:00Z',
      '2026-04-07T20:00:00.Z',
    ],
    ...['2026-13-01T00:00:00Z', '2026-00-01T00:00:00Z', '2026-01-32T00:00:00Z'],
    ...['2026-04-07T25:00:00Z', '2026-04-07T20:60:00Z', '2026-04-07T20:00:60Z'],
    ...['2026-04-07T20:00:00+0200', '2026-04-07T20:00:00Z ', '+10000-01-01T00:00:00Z'],
  ])('%j is no time', (text) => {
    expect(parseGoTime(text)).toBeUndefined();
  });

  it.each([
    ...['2026-02-29T00:00:00Z', '2026-02-31T00:00:00Z', '2026-04-31T00:00:00Z'],
    ...['2026-04-07T24:00:00Z', '2026-04-07T20:00:00+25:00', '2026-04-07T20:00:00+01:61'],
  ])('%s, which Go refuses, is no time', (text) => {
    expect(parseGoTime(text)).toBeUndefined();
  });
});
