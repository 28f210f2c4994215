import { type Rational, rational } from '../../src/pm/rational.ts';
import { fc } from '../support/fast-check.ts';

const magnitude = fc.oneof(
  fc.bigInt({ min: -(2n ** 300n), max: 2n ** 300n }),
  fc.bigInt({ min: -1000n, max: 1000n }),
);

/** Any fraction, negative and zero ones included, up to 300 bits on either side. */
export const anyRational: fc.Arbitrary<Rational> = fc
  .tuple(
    magnitude,
    fc.oneof(
      fc.bigInt({ min: 1n, max: 2n ** 300n }),
      fc.bigInt({ min: 1n, max: 1000n }),
      fc.constant(1n),
    ),
  )
  .map(([numerator, denominator]) => rational(numerator, denominator));

/** Wei from 0 up, mostly fractions with the denominator that expected values have. */
export const anyCredit: fc.Arbitrary<Rational> = fc
  .tuple(
    fc.bigInt({ min: 0n, max: 10n ** 15n }),
    fc.constantFrom(1n, 3n, 2n ** 256n - 1n),
    fc.bigInt({ min: 0n, max: 2n ** 256n }),
  )
  .map(([whole, denominator, part]) =>
    rational(whole * denominator + (part % denominator), denominator),
  );

/** Wei above 0. */
export const anyAmount: fc.Arbitrary<Rational> = anyCredit.map((credit) =>
  credit.numerator === 0n ? rational(1n, 3n) : credit,
);
