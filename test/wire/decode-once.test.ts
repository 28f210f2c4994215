import { expect, it } from 'vitest';
import { decodeOnce } from '../../src/wire/decode-once.ts';

function countDecodes() {
  const decoded: Uint8Array[] = [];
  const decode = decodeOnce((bytes) => {
    decoded.push(bytes);
    if (bytes[0] === 0xff) throw new Error('malformed');
    return { text: Buffer.from(bytes).toString('hex'), copiedBytes: bytes[1] === 1 ? 513 : 512 };
  });
  return { decode, decoded };
}

const bytesOf = (index: number) => Uint8Array.of(2, 0, index >> 8, index & 255);

it('the same bytes are decoded once, and others by themselves', () => {
  const { decode, decoded } = countDecodes();
  const first = decode(bytesOf(1));
  expect(decode(Buffer.from(bytesOf(1)))).toBe(first);
  expect(decode(new Uint8Array([9, ...bytesOf(1), 9]).subarray(1, 5))).toBe(first);
  expect(decode(bytesOf(2)).text).toBe('02000002');
  expect(decoded).toHaveLength(2);
});

it('bytes are others by a single one of them, wherever it is', () => {
  const { decode } = countDecodes();
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  for (const length of [600, 4096]) {
    const bytes = new Uint8Array(length).fill(3);
    expect(decode(bytes).text).toBe(text(bytes));
    for (const place of [0, 255, 511, 512, length - 1]) {
      const changed = bytes.with(place, 0x80);
      expect(decode(changed).text).toBe(text(changed));
    }
    expect(decode(bytes.subarray(1)).text).toBe(text(bytes.subarray(1)));
  }
});

it('what was decoded keeps none of the bytes that were given', () => {
  const { decode, decoded } = countDecodes();
  const given = bytesOf(1);
  const { text } = decode(given);
  expect(decoded[0]?.buffer).not.toBe(given.buffer);
  given.fill(7);
  expect(decode(bytesOf(1)).text).toBe(text);
  expect(decode(given).text).toBe('07070707');
});

it('the 500 that came last are remembered', () => {
  const { decode, decoded } = countDecodes();
  for (let index = 0; index < 500; index += 1) decode(bytesOf(index));
  decode(bytesOf(0));
  expect(decoded).toHaveLength(500);
  decode(bytesOf(500));
  decode(bytesOf(0));
  expect(decoded).toHaveLength(501);
  decode(bytesOf(1));
  expect(decoded).toHaveLength(502);
});

it.each([
  ['of over 4,096 bytes', new Uint8Array(4097), new Uint8Array(4096)],
  ['that an answer copies more than 512 bytes of', Uint8Array.of(2, 1), Uint8Array.of(2, 0)],
])('what is decoded of bytes %s is not remembered', (_name, large, small) => {
  const { decode, decoded } = countDecodes();
  expect(decode(large)).not.toBe(decode(large));
  expect(decode(small)).toBe(decode(small));
  expect(decoded).toHaveLength(3);
});

it('bytes that are refused are refused each time', () => {
  const { decode, decoded } = countDecodes();
  const malformed = Uint8Array.of(0xff);
  expect(() => decode(malformed)).toThrow('malformed');
  expect(() => decode(malformed)).toThrow('malformed');
  expect(decoded).toHaveLength(2);
});
