import { afterEach, describe, expect, it } from 'vitest';
import { RecentSeals } from '../../src/session/recent-seals.ts';
import { createSealVerifier } from '../../src/session/seal-verifier.ts';
import type { Address } from '../../src/pm/bytes.ts';
import { vectors } from '../vectors/vectors.ts';
import { type Instance, arbitrum, second, startInstance, startedAt } from './instances.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('sealed states');

const randomSealed = () => ({ state: random.bytes(600), sig: random.bytes(178) });

describe('the seals that an instance remembers', () => {
  it('are those it was told of, state and seal byte for byte', () => {
    const seals = new RecentSeals();
    const { state, sig } = randomSealed();
    expect(seals.has({ state, sig })).toBe(false);
    seals.remember({ state, sig });
    expect(seals.has({ state: Uint8Array.from(state), sig: Uint8Array.from(sig) })).toBe(true);
    for (const bytes of [state, sig]) {
      for (let position = 0; position < bytes.length; position++) {
        bytes[position] = (bytes[position] ?? 0) ^ 1;
        expect(seals.has({ state, sig })).toBe(false);
        bytes[position] = (bytes[position] ?? 0) ^ 1;
      }
    }
    expect(seals.has({ state: state.subarray(1), sig })).toBe(false);
    expect(seals.has({ state, sig })).toBe(true);
  });

  it('are the last ones: later ones take the place of earlier ones', () => {
    const seals = new RecentSeals();
    const all = Array.from({ length: 100_000 }, (_, index) => {
      const state = Buffer.alloc(4);
      state.writeUInt32BE(index);
      return { state, sig: new Uint8Array(178) };
    });
    for (const sealed of all) seals.remember(sealed);
    expect(all.slice(-1000).filter((sealed) => seals.has(sealed)).length).toBeGreaterThan(900);
    expect(all.filter((sealed) => seals.has(sealed)).length).toBeLessThanOrEqual(65_536);
  });
});

describe('a verifier that is told of them', () => {
  let instance: Instance | undefined;
  afterEach(() => instance?.seal.close());

  it('takes what the instance sealed without verifying it, but not beyond the delegation', async () => {
    instance = await startInstance();
    const state = random.bytes(600);
    const sig = instance.sign(state);
    const recentSeals = new RecentSeals();
    let now = startedAt;
    const isSealed = createSealVerifier({
      // not the sender's: all that is verified is refused
      sender: vectors.key.address.replaceAll(/[1-9a-f]/gi, '2') as Address,
      domain: arbitrum,
      clockSkewMs: 0,
      now: () => now,
      recentSeals,
    });
    expect(isSealed({ state, sig })).toBe(false);
    recentSeals.remember({ state, sig });
    expect(isSealed({ state, sig })).toBe(true);
    now += 8n * 3600n * second + 1n;
    expect(isSealed({ state, sig })).toBe(false);
  });
});
