import { KMSClient, UpdateAliasCommand } from '@aws-sdk/client-kms';
import { secp256k1 } from '@noble/curves/secp256k1';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { plugin } from '../../../plugins/aws-kms/index.ts';
import { type LocalKms, startLocalKms } from '../../support/local-kms.ts';
import { calm, configFor, context, digest, open, useCredentials } from './setup.ts';
import { createRandom } from '../../support/random.ts';

let kms: LocalKms;

beforeAll(async () => {
  kms = await startLocalKms();
  useCredentials({ accessKeyId: 'AKIAEMULATOR00000000', secretAccessKey: 'emulator' });
  return async () => {
    vi.unstubAllEnvs();
    await kms.stop();
  };
}, 300_000);

const make = (keyId: string) => plugin.generateKey?.(configFor(kms, { keyId }), context);

describe('against another implementation of KMS', () => {
  it('makes a key, opens it by its alias, and signs with it', async () => {
    const made = await make('alias/livepeer');
    const provider = await open(kms, { keyId: 'alias/livepeer' });
    expect(made?.keyRef).toBe(provider.keyRef);
    const publicKey = await provider.getPublicKey(calm);
    expect(made?.publicKey).toEqual(publicKey);

    const { bytes } = await provider.signDigest(digest, calm);
    const signature = secp256k1.Signature.fromDER(bytes);
    expect(secp256k1.verify(signature, digest, publicKey, { lowS: false })).toBe(true);
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

  it('notices that the alias was moved, and goes on signing with the key it was opened with', async () => {
    await make('alias/moving');
    const other = await make('alias/other');
    const provider = await open(kms, { keyId: 'alias/moving' });
    const publicKey = await provider.getPublicKey(calm);
    const admin = new KMSClient({ region: kms.region, endpoint: kms.endpoint });
    await admin.send(
      new UpdateAliasCommand({
        AliasName: 'alias/moving',
        TargetKeyId: other?.keyRef.replace('aws-kms:', ''),
      }),
    );
    admin.destroy();
    await expect(provider.checkHealth(calm)).rejects.toMatchObject({ code: 'KEY_UNSUITABLE' });
    const { bytes } = await provider.signDigest(digest, calm);
    const signature = secp256k1.Signature.fromDER(bytes);
    expect(secp256k1.verify(signature, digest, publicKey, { lowS: false })).toBe(true);
    await provider.close();
  });

  it('gives 100 valid signatures asked for at once', async () => {
    await make('alias/busy');
    const provider = await open(kms, { keyId: 'alias/busy' });
    const publicKey = await provider.getPublicKey(calm);
    const random = createRandom('digests for AWS KMS');
    const digests = Array.from({ length: 100 }, () => random.bytes(32));
    const signatures = await Promise.all(digests.map((each) => provider.signDigest(each, calm)));
    const valid = signatures.filter(({ bytes }, index) =>
      secp256k1.verify(
        secp256k1.Signature.fromDER(bytes),
        digests[index] ?? new Uint8Array(),
        publicKey,
        { lowS: false },
      ),
    );
    expect(valid).toHaveLength(100);
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
