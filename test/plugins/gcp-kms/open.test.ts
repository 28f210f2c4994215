import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type GcpKmsWireServer,
  type KmsFaults,
  type KmsKeyVersion,
  startGcpKmsWireServer,
} from '../../support/gcp-kms-wire-server.ts';
import { openKey, patient, recordingContext } from './open-key.ts';

let server: GcpKmsWireServer;
beforeEach(async () => {
  server = await startGcpKmsWireServer();
});
afterEach(async () => {
  await server.close();
});

function setVersion(attributes: Partial<KmsKeyVersion>): void {
  const version = server.versions.get(server.keyVersion);
  expect(version).toBeDefined();
  Object.assign(version ?? {}, attributes);
}

describe('opening a Cloud KMS key', () => {
  it('checks the version, reads its public key, and says in the log what it found', async () => {
    const context = recordingContext();
    const provider = await openKey(server, { concurrency: 7 }, context);
    expect(await provider.getPublicKey(patient)).toEqual(server.publicKey);
    expect(provider.keyRef).toBe(`gcp-kms:${server.keyVersion}`);
    expect(provider.concurrency).toBe(7);
    expect(server.requests.map(({ method }) => method)).toEqual([
      'getCryptoKeyVersion',
      'getPublicKey',
    ]);
    expect(context.lines).toEqual([
      {
        level: 'warn',
        message: 'insecure: Cloud KMS is called without TLS and credentials, for tests only',
        fields: { endpoint: server.endpoint },
      },
      {
        level: 'info',
        message: 'the Cloud KMS key is open',
        fields: expect.objectContaining({ protectionLevel: 'HSM', state: 'ENABLED' }) as object,
      },
    ]);
    await provider.close();
  });

  it('routes each request by the name of the key version', async () => {
    const provider = await openKey(server);
    await provider.signDigest(new Uint8Array(32), patient);
    expect(server.requests.map(({ metadata }) => metadata['x-goog-request-params'])).toEqual(
      Array(3).fill(`name=${encodeURIComponent(server.keyVersion)}`),
    );
    await provider.close();
  });

  it('describes the key without secrets', async () => {
    const provider = await openKey(server);
    expect(await provider.describeKey?.(patient)).toEqual({
      name: server.keyVersion,
      state: 'ENABLED',
      algorithm: 'EC_SIGN_SECP256K1_SHA256',
      protectionLevel: 'HSM',
      generatedAt: '2026-09-21T14:13:20.000Z',
      origin: 'generated in Cloud KMS',
      attestation: 'CAVIUM_V2_COMPRESSED',
    });
    setVersion({ importJob: 'projects/p/importJobs/j' });
    expect(await provider.describeKey?.(patient)).toMatchObject({
      origin: 'imported: copies may exist outside of the HSM',
    });
    await provider.close();
  });

  it.each([
    ['DISABLED', 'enable the version'],
    ['DESTROYED', 'configure another version'],
    [
      'DESTROY_SCHEDULED',
      'restore and enable the version before it is destroyed, or configure another one',
    ],
    ['IMPORT_FAILED', 'configure another version'],
  ])('refuses a version that is %s and says what to do', async (state, whatToDo) => {
    setVersion({ state });
    await expect(openKey(server)).rejects.toMatchObject({
      name: 'ProviderError',
      code: 'KEY_UNSUITABLE',
      message: `${server.keyVersion} is ${state}, expected ENABLED: ${whatToDo}`,
      retryable: false,
    });
  });

  it('refuses a version that is still being made as one to try again', async () => {
    setVersion({ pendingReplies: 1 });
    await expect(openKey(server)).rejects.toMatchObject({
      code: 'KEY_UNSUITABLE',
      message: expect.stringContaining('is PENDING_GENERATION') as string,
      retryable: true,
    });
    const provider = await openKey(server);
    await provider.close();
  });

  it('refuses another algorithm', async () => {
    setVersion({ algorithm: 'EC_SIGN_P256_SHA256' });
    await expect(openKey(server)).rejects.toMatchObject({
      code: 'KEY_UNSUITABLE',
      message: `${server.keyVersion} is for EC_SIGN_P256_SHA256, expected EC_SIGN_SECP256K1_SHA256: make a key with that algorithm`,
    });
  });

  it.each(['SOFTWARE', 'EXTERNAL', 'EXTERNAL_VPC'])(
    'refuses the protection level %s',
    async (protectionLevel) => {
      setVersion({ protectionLevel });
      await expect(openKey(server)).rejects.toMatchObject({
        code: 'KEY_UNSUITABLE',
        message: expect.stringContaining(
          `protection level ${protectionLevel}, expected HSM`,
        ) as string,
      });
    },
  );

  it('takes a key of a single-tenant HSM', async () => {
    setVersion({ protectionLevel: 'HSM_SINGLE_TENANT' });
    const provider = await openKey(server);
    expect(await provider.describeKey?.(patient)).toMatchObject({
      protectionLevel: 'HSM_SINGLE_TENANT',
    });
    await provider.close();
  });

  it.each<[keyof KmsFaults, RegExp]>([
    ['wrongPublicKeyChecksum', /the public key does not match its checksum$/],
    ['wrongName', /it is about projects.*\/17, not projects.*\/1; /],
    ['emptyReply', /fields are missing or malformed|about no key version/],
  ])('refuses replies with %s, asked twice', async (fault, message) => {
    server.faults[fault] = Infinity;
    await expect(openKey(server)).rejects.toMatchObject({
      code: 'PROVIDER_REPLY_INVALID',
      message: expect.stringMatching(message) as string,
    });
    expect(server.requests.length).toBe(fault === 'wrongPublicKeyChecksum' ? 3 : 2);
  });

  it('asks again after one damaged public key', async () => {
    server.faults.wrongPublicKeyChecksum = 1;
    const provider = await openKey(server);
    expect(await provider.getPublicKey(patient)).toEqual(server.publicKey);
    await provider.close();
  });

  it.each([
    ['getCryptoKeyVersion', 'roles/cloudkms.viewer (cloudkms.cryptoKeyVersions.get)'],
    ['getPublicKey', 'roles/cloudkms.publicKeyViewer (cloudkms.cryptoKeyVersions.viewPublicKey)'],
  ])('names the role that %s lacks', async (method, role) => {
    server.failNext(method, status.PERMISSION_DENIED);
    await expect(openKey(server)).rejects.toMatchObject({
      code: 'KEY_ACCESS_DENIED',
      message: `${method} for ${server.keyVersion} failed with PERMISSION_DENIED; grant ${role} on the key, and check that it exists`,
    });
  });

  it('reports a version that does not exist as KEY_NOT_FOUND', async () => {
    await expect(
      openKey(server, { keyVersion: server.keyVersion.replace(/1$/, '2') }),
    ).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' });
  });

  it('reports a server that is not there as PROVIDER_UNAVAILABLE after all attempts', async () => {
    await server.close();
    const context = recordingContext();
    await expect(openKey(server, {}, context)).rejects.toMatchObject({
      code: 'PROVIDER_UNAVAILABLE',
      retryable: true,
    });
    expect(
      context.lines.filter(({ message }) => message === 'Cloud KMS is asked again'),
    ).toHaveLength(1);
  });
});

describe('health of a Cloud KMS key', () => {
  it('is asked without using the key', async () => {
    const provider = await openKey(server);
    await provider.checkHealth?.(patient);
    expect(server.requests.at(-1)?.method).toBe('getCryptoKeyVersion');
    expect(server.signCount).toBe(0);
    await provider.close();
  });

  it('is bad when the version has been disabled, and good again when it is enabled', async () => {
    const provider = await openKey(server);
    setVersion({ state: 'DISABLED' });
    await expect(provider.checkHealth?.(patient)).rejects.toMatchObject({ code: 'KEY_UNSUITABLE' });
    await expect(provider.signDigest(new Uint8Array(32), patient)).rejects.toMatchObject({
      code: 'KEY_UNSUITABLE',
      message: expect.stringContaining('FAILED_PRECONDITION') as string,
    });
    setVersion({ state: 'ENABLED' });
    await expect(provider.checkHealth?.(patient)).resolves.toBeUndefined();
    await provider.close();
  });
});
