import { expect, it } from 'vitest';
import { vendorText } from '../../src/keys/vendor-text.ts';

it.each([
  ['denied to arn:aws:iam::role/signer', 'denied to arn:aws:iam::role/signer'],
  ['a\r\n\tb', 'a b'],
  ['Authorization: abc, then', '[secret], then'],
  ['{"client_secret":"abc"}', '{"[secret]"}'],
  ['it said Bearer abc to us', 'it said Bearer [secret] to us'],
  ['-----BEGIN KEY-----\nabc\n-----END KEY-----', '[secret] KEY-----'],
  ['-----BEGIN KEY-----\nabc', '[secret]'],
  ['key AKIAABCDEFGHIJKL.', 'key [secret].'],
  [`token ${'a'.repeat(19)}1.`, 'token [secret]'],
  [`run ${'a'.repeat(19)}1.`, 'run [secret].'],
  [`run ${'a'.repeat(18)}1.`, `run ${'a'.repeat(18)}1.`],
  [`run ${'a'.repeat(39)}.`, `run ${'a'.repeat(39)}.`],
  [`run ${'a/'.repeat(20)}.`, 'run [secret].'],
  ['Bearer abc, BASIC def', 'Bearer [secret] BASIC [secret]'],
  ['tokens ran out', 'tokens ran out'],
  ['a basic ', 'a basic '],
  ['pin : 1234; PIN= "5678"', '[secret]; [secret]"'],
  ['AKIAABCDEFGHIJKL and ASIAABCDEFGHIJKL', '[secret] and [secret]'],
  ['AKIAABCDEFGHIJK', 'AKIAABCDEFGHIJK'],
  [`1${'a'.repeat(19)}`, '[secret]'],
  [`${'a+'.repeat(9)}a1`, '[secret]'],
  ['a+'.repeat(20), '[secret]'],
  [`${'a'.repeat(20)} ${'b'.repeat(40)} ${'c'.repeat(39)}1`, `${'a'.repeat(20)} [secret] [secret]`],
  ['-----BEGIN A-----END A-----BEGIN B-----END', '[secret] A[secret]'],
  ['a\nb\nc', 'a b c'],
])('%j is told as %j', (text, told) => {
  expect(vendorText(new Error(text))).toBe(told);
  expect(vendorText(text)).toBe(told);
});

it('is of 500 characters at most, of the first 2,000', () => {
  expect(vendorText('a b '.repeat(600))).toHaveLength(500);
  expect(vendorText(`${'\n'.repeat(2_000)}x`)).toBe(' ');
});
