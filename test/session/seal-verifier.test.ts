import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { createRequire } from 'node:module';
import type * as NativeModule from 'secp256k1';
import { hashTypedData, recoverAddress } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { stateDelegationDigest } from '../../src/keys/state-delegation.ts';
import { type Address, type Hex, fromHex, toHex } from '../../src/pm/bytes.ts';
import { createSealVerifier } from '../../src/session/seal-verifier.ts';
import { vectors } from '../vectors/vectors.ts';
import {
  type Instance,
  type InstanceOptions,
  arbitrum,
  second,
  startInstance,
  startedAt,
} from './instances.ts';

const state = new TextEncoder().encode('{"StateID":"f1405ced","PMSessionID":"","SenderNonce":2}');
const lifetime = 8n * 3600n * second;

const open: Instance[] = [];
async function start(options: InstanceOptions = {}): Promise<Instance> {
  const instance = await startInstance(options);
  open.push(instance);
  return instance;
}
afterEach(() => {
  for (const { seal } of open.splice(0)) seal.close();
});

/** The documented EIP-712 data, for viem. */
function typedDelegation(instanceKey: Hex, notBefore: bigint, notAfter: bigint) {
  return {
    domain: {
      name: 'livepeer-hsm-signer',
      version: '1',
      chainId: 42_161,
      verifyingContract: arbitrum.broker,
    },
    types: {
      StateDelegation: [
        { name: 'instanceKey', type: 'bytes32' },
        { name: 'notBefore', type: 'uint64' },
        { name: 'notAfter', type: 'uint64' },
      ],
    },
    primaryType: 'StateDelegation',
    message: { instanceKey, notBefore, notAfter },
  } as const;
}

describe('a delegated seal', () => {
  it('has 178 bytes, by the documented layout, and viem verifies its delegation', async () => {
    const instance = await start();
    const sig = instance.sign(state);
    expect(sig).toHaveLength(178);
    expect(sig[0]).toBe(1);
    const view = new DataView(sig.buffer, sig.byteOffset);
    const [notBefore, notAfter] = [view.getBigUint64(33), view.getBigUint64(41)];
    expect(notBefore).toBe(startedAt / second);
    expect(notAfter).toBe((startedAt + lifetime) / second);
    const signer = await recoverAddress({
      hash: hashTypedData(typedDelegation(toHex(sig.subarray(1, 33)), notBefore, notAfter)),
      signature: toHex(sig.subarray(49, 114)),
    });
    expect(signer).toBe(vectors.key.address);
  });

  it('costs no key call, however many states it is put on', async () => {
    const instance = await start();
    expect(instance.key.digests).toHaveLength(1);
    for (let count = 0; count < 50; count++) {
      const sealed = Uint8Array.of(...state, count);
      expect(instance.isSealed({ state: sealed, sig: instance.sign(sealed) })).toBe(true);
    }
    expect(instance.key.digests).toHaveLength(1);
  });

  it('has its delegation verified once, however many states it is put on', async () => {
    const [a, b] = [await start({ recentSeals: undefined }), await start()];
    const native = createRequire(import.meta.url)('secp256k1/bindings.js') as typeof NativeModule;
    const recover = vi.spyOn(native, 'ecdsaRecover');
    onTestFinished(() => void vi.restoreAllMocks());
    for (let count = 0; count < 5; count++) {
      const sealed = Uint8Array.of(...state, count);
      expect(b.isSealed({ state: sealed, sig: a.sign(sealed) })).toBe(true);
    }
    expect(recover).toHaveBeenCalledTimes(1);
  });

  it('is taken by every instance with the same key', async () => {
    const [a, b] = [await start(), await start()];
    const [byA, byB] = [a.sign(state), b.sign(state)];
    expect(byA.subarray(1, 33)).not.toEqual(byB.subarray(1, 33));
    for (const sig of [byA, byB]) {
      expect([a.isSealed({ state, sig }), b.isSealed({ state, sig })]).toEqual([true, true]);
    }
  });

  const otherBroker = `0x${'11'.repeat(20)}` as Address;
  it.each([
    ['another sender', { sender: `0x${'22'.repeat(20)}` as Address }],
    ['another chain', { domain: { ...arbitrum, chainId: 421_614 } }],
    ['another TicketBroker', { domain: { ...arbitrum, broker: otherBroker } }],
  ])('is refused by an instance for %s', async (_, difference) => {
    const instance = await start();
    const options = {
      sender: vectors.key.address.toLowerCase() as Address,
      domain: arbitrum,
      clockSkewMs: 30_000,
      now: () => startedAt,
    };
    const sealed = { state, sig: instance.sign(state) };
    expect(createSealVerifier(options)(sealed)).toBe(true);
    expect(createSealVerifier({ ...options, ...difference })(sealed)).toBe(false);
  });

  it('holds from its first second to its last, and by the clock skew longer on both sides', async () => {
    const [a, b] = [await start(), await start()];
    const sealed = { state, sig: a.sign(state) };
    const at = (time: bigint) => {
      b.now = time;
      return b.isSealed(sealed);
    };
    expect(at(startedAt)).toBe(true);
    expect(at(startedAt - 30n * second)).toBe(true);
    expect(at(startedAt - 30n * second - 1n)).toBe(false);
    expect(at(startedAt + lifetime)).toBe(true);
    expect(at(startedAt + lifetime + 30n * second)).toBe(true);
    expect(at(startedAt + lifetime + 30n * second + 1n)).toBe(false);
    // also when it has been verified, and is remembered
    expect(at(startedAt)).toBe(true);
    expect(at(startedAt + 100n * lifetime)).toBe(false);
  });

  it.each([0, 1, 5_000])(
    'tolerates clocks that are %i ms apart where told so',
    async (clockSkewMs) => {
      const [a, b] = [await start(), await start({ clockSkewMs })];
      const sealed = { state, sig: a.sign(state) };
      const skew = BigInt(clockSkewMs) * 1_000_000n;
      b.now = startedAt - skew;
      expect(b.isSealed(sealed)).toBe(true);
      b.now -= 1n;
      expect(b.isSealed(sealed)).toBe(false);
    },
  );

  it.each([1, 0x80, 0xff])('is refused with any byte of it changed by %i', async (change) => {
    const instance = await start();
    const sig = instance.sign(state);
    for (let position = 0; position < sig.length; position++) {
      const changed = Uint8Array.from(sig);
      changed[position] = (changed[position] ?? 0) ^ change;
      expect(instance.isSealed({ state, sig: changed }), `Sig[${position}]`).toBe(false);
    }
    for (let position = 0; position < state.length; position++) {
      const changed = Uint8Array.from(state);
      changed[position] = (changed[position] ?? 0) ^ change;
      expect(instance.isSealed({ state: changed, sig }), `State[${position}]`).toBe(false);
    }
    expect(instance.isSealed({ state, sig })).toBe(true);
  });

  it('is refused in another version, or of another length', async () => {
    const instance = await start();
    const sig = instance.sign(state);
    for (let version = 0; version < 256; version++) {
      const changed = Uint8Array.from(sig);
      changed[0] = version;
      expect(instance.isSealed({ state, sig: changed })).toBe(version === 1);
    }
    const lengths = Array.from({ length: 400 }, (_, length) => length).filter((length) => {
      const padded = new Uint8Array(length);
      padded.set(sig.subarray(0, length));
      return instance.isSealed({ state, sig: padded });
    });
    expect(lengths).toEqual([178]);
  });

  /** The order of edwards25519's group. */
  const groupOrder = 2n ** 252n + 27742317777372353535851937790883648493n;
  const littleEndian = (bytes: Uint8Array) =>
    BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);

  it('is refused with s + L in place of s: its signature has one form', async () => {
    const instance = await start();
    for (let count = 0; count < 20; count++) {
      const sealed = Uint8Array.of(...state, count);
      const sig = instance.sign(sealed);
      const s = littleEndian(sig.subarray(146)) + groupOrder;
      const forged = Uint8Array.from(sig);
      forged.set(Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse(), 146);
      expect(instance.isSealed({ state: sealed, sig })).toBe(true);
      expect(instance.isSealed({ state: sealed, sig: forged })).toBe(false);
    }
  });

  it('stays with the delegation it was made under', async () => {
    const [a, b] = [await start(), await start()];
    const [byA, byB] = [a.sign(state), b.sign(state)];
    const spliced = Buffer.concat([byA.subarray(0, 114), byB.subarray(114)]);
    expect(a.isSealed({ state, sig: spliced })).toBe(false);
  });

  const foreign = generateKeyPairSync('ed25519');
  const foreignKey = Buffer.from(foreign.publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  const tag = Buffer.from('livepeer-hsm-signer session state\n');

  /** What someone can make who has an instance key of their own, and whatever signature they put before it. */
  function forge(notBefore: bigint, notAfter: bigint, delegationSignature: Uint8Array): Uint8Array {
    const times = Buffer.alloc(16);
    times.writeBigUInt64BE(notBefore, 0);
    times.writeBigUInt64BE(notAfter, 8);
    const header = Buffer.concat([Buffer.of(1), foreignKey, times, delegationSignature]);
    const message = Buffer.concat([tag, header, state]);
    return Buffer.concat([header, sign(undefined, message, foreign.privateKey)]);
  }

  const nowSeconds = startedAt / second;
  const typedData = typedDelegation(toHex(foreignKey), nowSeconds, nowSeconds + 60n);

  it('is taken from any program that the sender’s key delegates to, and from no other', async () => {
    const instance = await start();
    const by = async (privateKey: `0x${string}`) =>
      forge(
        nowSeconds,
        nowSeconds + 60n,
        fromHex(await privateKeyToAccount(privateKey).signTypedData(typedData)),
      );
    expect(instance.isSealed({ state, sig: await by(vectors.key.privateKey) })).toBe(true);
    expect(instance.isSealed({ state, sig: await by(`0x${'11'.repeat(32)}`) })).toBe(false);
  });

  it('has its delegation verified anew once a thousand others were seen since', async () => {
    const native = createRequire(import.meta.url)('secp256k1/bindings.js') as typeof NativeModule;
    const instance = await start();
    const privateKey = fromHex(vectors.key.privateKey);
    const sealed = Array.from({ length: 1_001 }, (_, index) => {
      const [notBefore, notAfter] = [nowSeconds, nowSeconds + BigInt(index)];
      const delegation = { ...arbitrum, instanceKey: foreignKey, notBefore, notAfter };
      const { signature, recid } = native.ecdsaSign(stateDelegationDigest(delegation), privateKey);
      return { state, sig: forge(notBefore, notAfter, Uint8Array.of(...signature, 27 + recid)) };
    });
    const recover = vi.spyOn(native, 'ecdsaRecover');
    onTestFinished(() => void vi.restoreAllMocks());
    const verified = (...range: [number, number]): number => {
      recover.mockClear();
      for (const one of sealed.slice(...range)) expect(instance.isSealed(one)).toBe(true);
      return recover.mock.calls.length;
    };
    expect(verified(0, 1_000)).toBe(1_000);
    // the first is the one that was seen last now, and the second has to go
    expect(verified(0, 1)).toBe(0);
    expect(verified(1_000, 1_001)).toBe(1);
    expect(verified(2, 5)).toBe(0);
    expect(verified(0, 2)).toBe(1);
  });

  it('is refused with another instance’s delegation, a personal message, or none', async () => {
    const instance = await start();
    const account = privateKeyToAccount(vectors.key.privateKey);
    const raw = createHash('sha256').update(foreignKey).digest();
    const signatures = [
      instance.sign(state).subarray(49, 114),
      fromHex(await account.signMessage({ message: { raw } })),
      fromHex(await account.signMessage({ message: { raw: hashTypedData(typedData) } })),
      fromHex(vectors.infoSig.signature),
      new Uint8Array(65),
    ];
    for (const signature of signatures) {
      const sig = forge(nowSeconds, nowSeconds + 60n, signature);
      expect(instance.isSealed({ state, sig })).toBe(false);
    }
  });
});

describe('the sender’s own seal', () => {
  it('is taken beside the delegated one, at any time', async () => {
    const instance = await start();
    const account = privateKeyToAccount(vectors.key.privateKey);
    const sig = fromHex(await account.signMessage({ message: { raw: state } }));
    expect(instance.isSealed({ state, sig })).toBe(true);
    instance.now += 100n * lifetime;
    expect(instance.isSealed({ state, sig })).toBe(true);
    expect(instance.isSealed({ state: state.subarray(1), sig })).toBe(false);
  });
});
