/** Of the world's own books; what src computes with is what they are held against. */
export type Rational = { readonly numerator: bigint; readonly denominator: bigint };

/** `n` or `n/d`. */
export function parseFraction(text: string): Rational {
  const [numerator = '0', denominator = '1'] = text.split('/');
  return { numerator: BigInt(numerator), denominator: BigInt(denominator) };
}

export function sameFraction(a: Rational, b: Rational): boolean {
  return a.numerator * b.denominator === b.numerator * a.denominator;
}
