import { status } from '@grpc/grpc-js';
import { secp256k1 } from '@noble/curves/secp256k1';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { generateKmsKey } from '../../../plugins/gcp-kms/generate-key.ts';
import { plugin } from '../../../plugins/gcp-kms/index.ts';
import type { GeneratedKey } from '../../../src/keys/provider.ts';
import { type GcpKmsWireServer, startGcpKmsWireServer } from '../../support/gcp-kms-wire-server.ts';
import { openKey, parseConfig, patient, recordingContext } from './open-key.ts';

let server: GcpKmsWireServer;
let keyVersion: string;
beforeEach(async () => {
  server = await startGcpKmsWireServer();
  keyVersion = server.keyVersion.replace('payer', 'new-payer');
});
afterEach(async () => {
  await server.close();
});

async function generate(name: string): Promise<GeneratedKey | undefined> {
  return plugin.generateKey?.(parseConfig(server, { keyVersion: name }), recordingContext());
}

describe('making a Cloud KMS key', () => {
  it('makes an HSM key, waits until it is there, and gives its public key', async () => {
    const generated = await generate(keyVersion);
    const made = server.versions.get(keyVersion);
    expect(made).toMatchObject({ algorithm: 'EC_SIGN_SECP256K1_SHA256', protectionLevel: 'HSM' });
    expect(generated).toEqual({
      keyRef: `gcp-kms:${keyVersion}`,
      publicKey: secp256k1.getPublicKey(made?.privateKey ?? new Uint8Array(), false),
    });
    expect(server.requests.map(({ method }) => method)).toEqual([
      'createCryptoKey',
      'getCryptoKeyVersion',
      'getCryptoKeyVersion',
      'getCryptoKeyVersion',
      'getPublicKey',
    ]);

    const provider = await openKey(server, { keyVersion });
    expect(await provider.getPublicKey(patient)).toEqual(generated?.publicKey);
    await provider.close();
  });

  it('waits no longer than it is told to, and says that the key has been made', async () => {
    server.pendingReplies = Infinity;
    await expect(
      generateKmsKey(parseConfig(server, { keyVersion }), recordingContext(), 500),
    ).rejects.toMatchObject({
      code: 'PROVIDER_TIMEOUT',
      message: expect.stringContaining(
        `${keyVersion} has been made but is PENDING_GENERATION after 500 ms`,
      ) as string,
    });
    expect(server.versions.has(keyVersion)).toBe(true);
  });

  it('leaves a key that exists as it is', async () => {
    const before = server.versions.get(server.keyVersion)?.privateKey;
    await expect(generate(server.keyVersion)).rejects.toMatchObject({
      name: 'ProviderError',
      code: 'KEY_ALREADY_EXISTS',
    });
    expect(server.versions.get(server.keyVersion)?.privateKey).toBe(before);
  });

  it('refuses to make another version than the first one, without a request', async () => {
    await expect(generate(keyVersion.replace(/1$/, '2'))).rejects.toMatchObject({
      code: 'KEY_UNSUITABLE',
      message: expect.stringContaining('let keyVersion end in /cryptoKeyVersions/1') as string,
    });
    expect(server.requests).toEqual([]);
  });

  it('reports a key ring that does not exist', async () => {
    await expect(generate(keyVersion.replace('livepeer', 'missing'))).rejects.toMatchObject({
      code: 'KEY_NOT_FOUND',
    });
  });

  it('names the role that making a key needs', async () => {
    server.failNext('createCryptoKey', status.PERMISSION_DENIED);
    await expect(generate(keyVersion)).rejects.toMatchObject({
      code: 'KEY_ACCESS_DENIED',
      message: expect.stringContaining(
        'roles/cloudkms.admin (cloudkms.cryptoKeys.create)',
      ) as string,
    });
  });

  it('does not ask a second time when it is unknown whether the key was made', async () => {
    server.failNext('createCryptoKey', status.UNAVAILABLE);
    await expect(generate(keyVersion)).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' });
    expect(server.requests.map(({ method }) => method)).toEqual(['createCryptoKey']);
  });
});
