import { secp256k1 } from '@noble/curves/secp256k1';
import Module from 'node:module';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  type RecoverPublicKey,
  chooseRecover,
  loadNativeRecover,
  loadNobleRecover,
  recoverPublicKey,
} from '../../src/keys/secp256k1.ts';
import { curveOrder } from '../../src/keys/scalars.ts';
import { hex } from './der.ts';
import { fc } from '../support/fast-check.ts';

const native = loadNativeRecover();
const noble = loadNobleRecover();

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const word = (value: bigint) => hex(value.toString(16).padStart(64, '0'));
const edge = fc
  .constantFrom(
    ...[0n, 1n, 2n, curveOrder / 2n, curveOrder / 2n + 1n, curveOrder - 1n, curveOrder],
    ...[curveOrder + 1n, 2n ** 255n, 2n ** 256n - 1n, 2n ** 256n - 2n ** 32n - 977n],
  )
  .map(word);
const recoveryId = fc.constantFrom(0 as const, 1 as const);

/** What a recovery gives, as text; both libraries must give the same. */
function outcome(recover: RecoverPublicKey, ...args: Parameters<RecoverPublicKey>): string {
  const recovered = recover(...args);
  return recovered === undefined ? 'none' : Buffer.from(recovered).toString('hex');
}

describe('libsecp256k1 and @noble/curves', () => {
  it('recover the signer’s key from its signatures', () => {
    fc.assert(
      fc.property(bytes32, bytes32, (seed, digest) => {
        const privateKey = secp256k1.utils.isValidPrivateKey(seed) ? seed : word(1n);
        const signature = secp256k1.sign(digest, privateKey, { lowS: false });
        const id = signature.recovery === 0 ? 0 : 1;
        const publicKey = secp256k1.getPublicKey(privateKey, false);
        for (const recover of [native, noble]) {
          expect(recover(digest, signature.toCompactRawBytes(), id)).toEqual(publicKey);
        }
        const other = native(digest, signature.toCompactRawBytes(), id === 0 ? 1 : 0);
        expect(other).not.toEqual(publicKey);
      }),
      { numRuns: 150 },
    );
  });

  it('agree on any r and s, valid or not', () => {
    let none = 0;
    const scalar = fc.oneof({ weight: 3, arbitrary: bytes32 }, { weight: 1, arbitrary: edge });
    fc.assert(
      fc.property(fc.oneof(bytes32, edge), scalar, scalar, recoveryId, (digest, r, s, id) => {
        const compact = Uint8Array.from(Buffer.concat([r, s]));
        const expected = outcome(native, digest, compact, id);
        expect(outcome(noble, digest, compact, id)).toBe(expected);
        if (expected === 'none') none++;
      }),
      { numRuns: 1000 },
    );
    expect(none).toBeGreaterThan(100);
    expect(none).toBeLessThan(900);
  });

  it.each([
    ['zero r', 0n, 1n],
    ['zero s', 1n, 0n],
    ['r = n', curveOrder, 1n],
    ['s = n', 1n, curveOrder],
    ['r that is the x of no point', 5n, 1n],
  ])('recover nothing from %s', (_, r, s) => {
    const compact = Uint8Array.from(Buffer.concat([word(r), word(s)]));
    for (const recover of [native, noble]) {
      expect(recover(word(7n), compact, 0)).toBeUndefined();
      expect(recover(word(7n), compact, 1)).toBeUndefined();
    }
  });

  it.each([0, 1, 63, 65])('recover nothing from %i bytes in place of 64', (length) => {
    const compact = new Uint8Array(length).fill(1);
    expect(native(word(7n), compact, 0)).toBeUndefined();
    expect(noble(word(7n), compact, 0)).toBeUndefined();
  });

  it('leave what they were given as it was', () => {
    const digest = word(7n);
    const compact = secp256k1.sign(digest, word(3n)).toCompactRawBytes();
    const copies = [digest.slice(), compact.slice()];
    native(digest, compact, 0);
    noble(digest, compact, 0);
    expect([digest, compact]).toEqual(copies);
  });
});

describe('chooseRecover', () => {
  type Load = () => RecoverPublicKey;
  const native = (load: Load) => ({ name: 'libsecp256k1', load }) as const;
  const noble = (load: Load) => ({ name: 'noble-curves', load }) as const;
  const throwing = (): RecoverPublicKey => {
    throw new Error('no build for this platform');
  };
  const wrong = (): RecoverPublicKey => () => new Uint8Array(65);
  const empty = (): RecoverPublicKey => () => undefined;
  const failing = (): RecoverPublicKey => () => {
    throw new Error('illegal instruction');
  };

  it('takes the native library of this installation', () => {
    const loaded: string[] = [];
    const traced = [native(loadNativeRecover), noble(loadNobleRecover)].map(({ name, load }) => ({
      name,
      load: () => {
        loaded.push(name);
        return load();
      },
    }));
    expect(chooseRecover(traced).name).toBe('libsecp256k1');
    expect(loaded).toEqual(['libsecp256k1']);
  });

  it.each([
    ['cannot be loaded', throwing],
    ['recovers another key', wrong],
    ['recovers nothing', empty],
    ['throws when it is used', failing],
  ])('falls back to the next library when the first one %s', (_, load) => {
    const { name, recover } = chooseRecover([native(load), noble(loadNobleRecover)]);
    expect(name).toBe('noble-curves');
    expect(outcome(recover, ...knownAnswer)).toBe(generator);
  });

  it('takes the first of several that work', () => {
    const first = loadNobleRecover();
    const candidates = [native(throwing), noble(() => first), native(loadNativeRecover)];
    expect(chooseRecover(candidates).recover).toBe(first);
  });

  it('throws INTERNAL, with every failure as its cause, when none works', () => {
    let thrown: unknown;
    try {
      chooseRecover([throwing, wrong, failing].map(native));
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ name: 'InternalError', code: 'INTERNAL' });
    const { cause } = thrown as Error;
    expect(cause).toBeInstanceOf(AggregateError);
    expect((cause as AggregateError).errors).toHaveLength(3);
    expect(() => chooseRecover([])).toThrow(expect.objectContaining({ code: 'INTERNAL' }) as Error);
  });

  it('leaves a process without the native library with the other one, and without sums of points', async () => {
    const loader = Module as unknown as { _load(request: string, ...rest: unknown[]): unknown };
    const load = loader._load.bind(Module);
    vi.spyOn(loader, '_load').mockImplementation((request, ...rest) => {
      if (request.startsWith('secp256k1')) throw new Error('no build for this platform');
      return load(request, ...rest);
    });
    onTestFinished(() => {
      vi.restoreAllMocks();
      vi.resetModules();
    });
    vi.resetModules();
    const without = await import('../../src/keys/secp256k1.ts');
    expect(without.curveLibrary).toBe('noble-curves');
    expect(without.pointArithmetic).toBeUndefined();
    expect(outcome(without.recoverPublicKey, ...knownAnswer)).toBe(generator);
  });

  it('is what this process recovers with', () => {
    expect(outcome(recoverPublicKey, ...knownAnswer)).toBe(generator);
  });

  const generator = Buffer.from(secp256k1.getPublicKey(word(1n), false)).toString('hex');
  const signed = secp256k1.sign(word(42n), word(1n));
  const knownAnswer: Parameters<RecoverPublicKey> = [
    word(42n),
    signed.toCompactRawBytes(),
    signed.recovery === 0 ? 0 : 1,
  ];
});
