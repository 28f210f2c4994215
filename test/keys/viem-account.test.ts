import { secp256k1 } from '@noble/curves/secp256k1';
import {
  type TransactionSerialized,
  parseEther,
  recoverAddress,
  recoverMessageAddress,
  recoverTransactionAddress,
  recoverTypedDataAddress,
  toHex,
} from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { toViemAccount } from '../../src/keys/viem-account.ts';
import { vectors } from '../vectors/vectors.ts';
import { openTestProvider } from './open-test-gate.ts';

const local = privateKeyToAccount(vectors.key.privateKey);

const transaction = {
  chainId: 42161,
  nonce: 7,
  to: local.address,
  value: parseEther('1'),
  gas: 21_000n,
} as const;

const typedData = {
  domain: { name: 'test', chainId: 1n },
  types: { Note: [{ name: 'text', type: 'string' }] },
  primaryType: 'Note',
  message: { text: 'hello' },
} as const;

describe('a viem account over a key provider', () => {
  it.each([
    ['EIP-1559', { type: 'eip1559', maxFeePerGas: 3n, maxPriorityFeePerGas: 1n }],
    ['EIP-2930', { type: 'eip2930', gasPrice: 3n }],
    ['legacy', { type: 'legacy', gasPrice: 3n }],
  ] as const)('signs %s transactions as viem does with the same key', async (_, fees) => {
    const { provider } = await openTestProvider();
    const account = await toViemAccount(provider);
    const signed = await account.signTransaction({ ...transaction, ...fees });
    expect(signed).toBe(await local.signTransaction({ ...transaction, ...fees }));
    const serializedTransaction = signed as TransactionSerialized;
    expect(await recoverTransactionAddress({ serializedTransaction })).toBe(local.address);
  });

  it('has the address of the key, and signs messages, typed data and hashes for it', async () => {
    const { provider } = await openTestProvider();
    const account = await toViemAccount(provider);
    expect(account).toMatchObject({ address: local.address, publicKey: local.publicKey });
    const message = 'hello';
    const signature = await account.signMessage({ message });
    expect(await recoverMessageAddress({ message, signature })).toBe(local.address);
    expect(
      await recoverTypedDataAddress({
        ...typedData,
        signature: await account.signTypedData(typedData),
      }),
    ).toBe(local.address);
    const hash = toHex(7, { size: 32 });
    const ofHash = await account.sign?.({ hash });
    expect(await recoverAddress({ hash, signature: ofHash ?? '0x' })).toBe(local.address);
  });

  it('refuses a signature of another key', async () => {
    const { provider } = await openTestProvider({
      reply: (_, digest) => ({
        encoding: 'raw',
        bytes: secp256k1.sign(digest, 5n).toCompactRawBytes(),
      }),
    });
    const account = await toViemAccount(provider);
    await expect(account.signMessage({ message: 'hello' })).rejects.toMatchObject({
      code: 'PROVIDER_REPLY_INVALID',
    });
  });

  it('asks for the key, and for each signature, with 30 seconds to answer', async () => {
    const timeouts = vi.spyOn(AbortSignal, 'timeout');
    onTestFinished(() => timeouts.mockRestore());
    const { provider } = await openTestProvider();
    const signals: AbortSignal[] = [];
    const account = await toViemAccount({
      ...provider,
      getPublicKey: (options) => (signals.push(options.signal), provider.getPublicKey(options)),
      signDigest: (digest, options) => (
        signals.push(options.signal),
        provider.signDigest(digest, options)
      ),
    });
    await account.signMessage({ message: 'hello' });
    expect(timeouts.mock.calls).toEqual([[30_000], [30_000]]);
    expect(signals).toEqual(timeouts.mock.results.map(({ value }) => value as unknown));
    expect(account).toMatchObject({ source: 'livepeer-hsm-signer', type: 'local' });
  });
});
