import { expect, it } from 'vitest';
import { formatDuration, parseDuration } from '../../../src/policy/rules/duration.ts';

it.each([
  ['0s', 0],
  ['1s', 1_000],
  ['90s', 90_000],
  ['15m', 900_000],
  ['4h', 14_400_000],
  ['7d', 604_800_000],
  ['7 d', 604_800_000],
  ['99999999s', 99_999_999_000],
])('%s is %i ms', (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds);
});

it.each(['', 's', '5', '5w', '5S', '5ss', 's5', 'x5s', ' 5s', '5s ', '-5s', '1.5h', '100000000s'])(
  '%j is no duration',
  (text) => {
    expect(parseDuration(text)).toBeUndefined();
  },
);

it.each([
  [1_000, '1s'],
  [59_000, '59s'],
  [60_000, '1m'],
  [90_000, '90s'],
  [3_600_000, '1h'],
  [5_400_000, '90m'],
  [86_400_000, '1d'],
  [90_000_000, '25h'],
  [604_800_000, '7d'],
  [500, '0.5s'],
])('%i ms is written as %s', (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text);
});
