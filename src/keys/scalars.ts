/** The order n of secp256k1's group. */
export const curveOrder = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/** The inverse modulo n of a number in [1, n − 1]. */
function invert(scalar: bigint): bigint {
  let [r, nextR, t, nextT] = [curveOrder, scalar, 0n, 1n];
  while (nextR !== 0n) {
    const quotient = r / nextR;
    [r, nextR] = [nextR, r - quotient * nextR];
    [t, nextT] = [nextT, t - quotient * nextT];
  }
  return t < 0n ? t + curveOrder : t;
}

/** The inverses modulo n of numbers in [1, n − 1], by one inversion and three products each (Montgomery). None of them is secret. */
export function invertScalars(scalars: readonly bigint[]): bigint[] {
  const before: bigint[] = [];
  let product = 1n;
  for (const scalar of scalars) {
    before.push(product);
    product = (product * scalar) % curveOrder;
  }
  let inverse = invert(product);
  const inverses: bigint[] = [];
  for (let index = scalars.length - 1; index >= 0; index -= 1) {
    inverses[index] = (inverse * (before[index] ?? 0n)) % curveOrder;
    inverse = (inverse * (scalars[index] ?? 0n)) % curveOrder;
  }
  return inverses;
}
