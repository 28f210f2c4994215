import { describe, expect, it } from 'vitest';
import { decodeBase64, encodeBase64 } from '../../src/wire/base64.ts';
import { fc } from '../support/fast-check.ts';

describe('base64', () => {
  it('is standard and padded, and is read back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = encodeBase64(bytes);
        expect(text).toBe(btoa(String.fromCharCode(...bytes)));
        expect(decodeBase64(text)).toEqual(bytes);
      }),
    );
  });

  it('of a part of a buffer is that part’s', () => {
    expect(encodeBase64(Uint8Array.of(1, 2, 3, 4).subarray(1, 3))).toBe(btoa('\x02\x03'));
  });

  it('may be broken by CR and LF anywhere', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 60 }),
        fc.array(fc.tuple(fc.nat(100), fc.constantFrom('\n', '\r', '\r\n')), { maxLength: 5 }),
        (bytes, breaks) => {
          let text = encodeBase64(bytes);
          for (const [at, lineBreak] of breaks)
            text = text.slice(0, at) + lineBreak + text.slice(at);
          expect(decodeBase64(text)).toEqual(bytes);
        },
      ),
    );
  });

  it('in an array of its own: what is decoded shares no memory with anything else', () => {
    const decoded = decodeBase64('AQID');
    expect(decoded?.buffer.byteLength).toBe(3);
  });

  it.each([
    ...['A', 'AA', 'AAA', 'AA=', 'A===', '====', '=', 'AAAA=', 'AA==AAAA', 'AA=A', 'AAA=AAA='],
    ...['AA-_', 'AA A', ' AAAA', 'AAAA ', 'AAA\t', 'AA\u00e9A', 'AAAA\0', 'ＡＡＡＡ', 'AAAAA'],
    // characters whose lower byte would be base64
    ...['\u0141AAA', 'AAA\u0141', 'AA\u0141=', '\u{24e49}\u{24e49}'],
  ])('is refused when it is %j', (text) => {
    expect(decodeBase64(text)).toBeUndefined();
  });

  it('takes what Buffer takes only where it is well-formed', () => {
    const text = fc.string({
      unit: fc.constantFrom('A', 'B', 'a', '0', '1', '+', '/', '=', '\n', '-', ' '),
      maxLength: 12,
    });
    fc.assert(
      fc.property(text, (candidate) => {
        const compact = candidate.replace(/[\r\n]/g, '');
        let expected: Uint8Array | undefined;
        // atob skips blanks and forgives missing padding, which Go does not
        if (!/[ =](?!=*$)|^[^=]*={3}/.test(compact) && !compact.includes(' ')) {
          try {
            if (compact.length % 4 === 0) {
              expected = Uint8Array.from(atob(compact), (character) => character.charCodeAt(0));
            }
          } catch {
            expected = undefined;
          }
        }
        expect(decodeBase64(candidate)).toEqual(expected);
      }),
      { numRuns: 2000 },
    );
  });
});
