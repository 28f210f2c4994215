import { hash } from 'node:crypto';
import { expect, it } from 'vitest';
import { sha256Hex } from '../../src/pm/sha256.ts';
import { fc } from '../support/fast-check.ts';

it('is what another implementation makes of any text’s UTF-8', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      expect(sha256Hex(text)).toBe(hash('sha256', text));
    }),
    { numRuns: 2_000 },
  );
});
