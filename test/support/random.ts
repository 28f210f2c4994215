import { createHash } from 'node:crypto';

const variable = 'LIVEPEER_HSM_SIGNER_TEST_SEED';

/**
 * What all random numbers of a test run come from, 0 to 2^31 - 1: the environment's, or else 1, so that `npm test` says the
 * same of the same code each time. The long tests draw a new one for each run.
 */
export const testSeed = readSeed();

/** How to have the same random numbers again; printed after a run that failed. */
export const howToRepeat = `random numbers of this run: ${variable}=${testSeed}`;

function readSeed(): number {
  // processes started from here on take the same one
  const text = (process.env[variable] ??= '1');
  const seed = Number(text);
  if (!/^\d+$/.test(text) || seed >= 2 ** 31) {
    throw new Error(`${variable} is ${text}; it must be an integer from 0 to 2147483647`);
  }
  return seed;
}

/** Repeatable pseudo-random choices; unfit for secrets. */
export type Random = {
  /** From 0 to below 1, as `Math.random` has it. */
  readonly fraction: () => number;
  /** An integer from 0 to `below` - 1. */
  readonly int: (below: number) => number;
  readonly chance: (probability: number) => boolean;
  readonly pick: <Item>(items: readonly [Item, ...Item[]]) => Item;
  readonly bytes: (length: number) => Uint8Array<ArrayBuffer>;
  /** `length` bytes as twice as many lowercase digits, without 0x. */
  readonly hex: (length: number) => string;
  /** 32 bytes that are a scalar of secp256k1 and of P-256: their first byte is below 0xff. */
  readonly privateKey: () => Uint8Array<ArrayBuffer>;
};

/**
 * The random numbers of the run's seed that belong to `name`: the same name gives the same ones, whatever else a run
 * draws. The generator is Tommy Ettinger's mulberry32.
 */
export function createRandom(name: string): Random {
  let state = createHash('sha256').update(`${testSeed} ${name}`).digest().readUInt32BE();
  function fraction(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
  const int = (below: number): number => Math.floor(fraction() * below);
  const bytes = (length: number) => Uint8Array.from({ length }, () => int(256));
  return {
    fraction,
    int,
    chance: (probability) => fraction() < probability,
    pick: (items) => items[int(items.length)] ?? items[0],
    bytes,
    hex: (length) => Buffer.from(bytes(length)).toString('hex'),
    privateKey: () => Uint8Array.of(int(255), ...bytes(30), 1 + int(255)),
  };
}
