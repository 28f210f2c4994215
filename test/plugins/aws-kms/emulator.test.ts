import { createHash } from 'node:crypto';
import { secp256k1 } from '@noble/curves/secp256k1';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { plugin } from '../../../plugins/aws-kms/index.ts';
import { type LocalKms, startLocalKms } from '../../support/local-kms.ts';
import { calm, configFor, context, digest, open, useCredentials } from './setup.ts';

let kms: LocalKms;

beforeAll(async () => {
  kms = await startLocalKms();
  useCredentials({ accessKeyId: 'AKIAEMULATOR00000000', secretAccessKey: 'emulator' });
}, 300_000);

afterAll(async () => {
  vi.unstubAllEnvs();
  await kms.stop();
});

const make = (keyId: string) => plugin.generateKey?.(configFor(kms, { keyId }), context);

describe('against another implementation of KMS', () => {
  it('makes a key, opens it by its alias, and signs with it', async () => {
    const made = await make('alias/livepeer');
    const provider = await open(kms, { keyId: 'alias/livepeer' });
    expect(made?.keyRef).toBe(provider.keyRef);
    const publicKey = await provider.getPublicKey(calm);
    expect(made?.publicKey).toEqual(publicKey);

    const { bytes } = await provider.signDigest(digest, calm);
    // This version of the emulator takes MessageType DIGEST for RAW and hashes once more; AWS does not.
    const hashedAgain = createHash('sha256').update(digest).digest();
    const signature = secp256k1.Signature.fromDER(bytes);
    expect(secp256k1.verify(signature, hashedAgain, publicKey, { lowS: false })).toBe(true);
    await provider.close();
  });

  it('reads the attributes of the key, and finds it healthy', async () => {
    await make('alias/described');
    const provider = await open(kms, { keyId: 'alias/described' });
    await provider.checkHealth(calm);
    expect(await provider.describeKey(calm)).toMatchObject({
      arn: provider.keyRef.replace('aws-kms:', ''),
      spec: 'ECC_SECG_P256K1',
      usage: 'SIGN_VERIFY',
      state: 'Enabled',
      origin: 'AWS_KMS',
      created: expect.stringMatching(/^\d{4}-\d{2}-\d{2}T/) as string,
    });
    await provider.close();
  });

  it('refuses to make a key under an alias that is taken', async () => {
    await make('alias/taken');
    await expect(make('alias/taken')).rejects.toMatchObject({ code: 'KEY_ALREADY_EXISTS' });
  });

  it('says so when there is no such key', async () => {
    await expect(open(kms, { keyId: 'alias/nobody' })).rejects.toMatchObject({
      code: 'KEY_NOT_FOUND',
    });
  });
});
