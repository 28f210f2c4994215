import { inspect } from 'node:util';
import { secp256k1 } from '@noble/curves/secp256k1';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AwsKmsWireServer, type Fault } from '../../support/aws-kms-wire-server.ts';
import { calm, digest, logged, open, useCredentials } from './setup.ts';

let server: AwsKmsWireServer;
let keyId: string;

beforeEach(async () => {
  server = await AwsKmsWireServer.start();
  useCredentials(server.credentials);
  keyId = server.createKey();
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await server.close();
});

const passing: readonly (readonly [string, Fault, string])[] = [
  ['ThrottlingException', { kind: 'throttle', fraction: 1 }, 'PROVIDER_THROTTLED'],
  [
    'KMSInternalException',
    { kind: 'exception', name: 'KMSInternalException', status: 500 },
    'PROVIDER_UNAVAILABLE',
  ],
  [
    'DependencyTimeoutException',
    { kind: 'exception', name: 'DependencyTimeoutException', status: 503 },
    'PROVIDER_UNAVAILABLE',
  ],
  [
    'KeyUnavailableException',
    { kind: 'exception', name: 'KeyUnavailableException', status: 500 },
    'PROVIDER_UNAVAILABLE',
  ],
  [
    'an exception of status 500 that has no entry',
    { kind: 'exception', name: 'BrandNewException', status: 500 },
    'PROVIDER_UNAVAILABLE',
  ],
  [
    'an exception of status 429 that has no entry',
    { kind: 'exception', name: 'BrandNewException', status: 429 },
    'PROVIDER_THROTTLED',
  ],
  [
    'a 502 page of a proxy',
    { kind: 'body', status: 502, body: '<html>bad gateway</html>' },
    'PROVIDER_UNAVAILABLE',
  ],
  ['a connection reset', { kind: 'connection reset' }, 'PROVIDER_UNAVAILABLE'],
  ['no answer in time', { kind: 'delay', ms: 2_000 }, 'PROVIDER_TIMEOUT'],
];

describe('a passing fault', () => {
  it.each(passing)('%s is tried again until it has passed', async (_, fault) => {
    const provider = await open(server, { keyId, maxAttempts: 3, attemptTimeoutMs: 800 });
    server.setFault('Sign', fault, 2);
    const { bytes } = await provider.signDigest(digest, calm);
    expect(
      secp256k1.verify(secp256k1.Signature.fromDER(bytes), digest, server.publicKeyOf(keyId), {
        lowS: false,
      }),
    ).toBe(true);
    expect(server.requests['Sign']).toBe(3);
    await provider.close();
  });

  it.each(passing)('%s is given up after maxAttempts', async (_, fault, code) => {
    const provider = await open(server, { keyId, maxAttempts: 2, attemptTimeoutMs: 800 });
    server.setFault('Sign', fault);
    await expect(provider.signDigest(digest, calm)).rejects.toMatchObject({
      name: 'ProviderError',
      code,
      retryable: true,
    });
    expect(server.requests['Sign']).toBe(2);
    await provider.close();
  });

  it('is tried again at open too', async () => {
    server.setFault('DescribeKey', { kind: 'connection reset' }, 1);
    server.setFault('GetPublicKey', { kind: 'throttle', fraction: 1 }, 1);
    const provider = await open(server, { keyId });
    expect(server.requests).toEqual({ DescribeKey: 2, GetPublicKey: 2 });
    await provider.close();
  });

  it('that half the requests meet fails no call', async () => {
    const provider = await open(server, { keyId, maxAttempts: 10 });
    server.setFault('Sign', { kind: 'throttle', fraction: 0.5 });
    const calls = Array.from({ length: 30 }, () => provider.signDigest(digest, calm));
    await expect(Promise.all(calls)).resolves.toHaveLength(30);
    expect(server.throttled).toBe(29);
    expect(server.signatures).toBe(30);
    await provider.close();
  });

  it('of a peer that is not there says what to check', async () => {
    const provider = await open(server, { keyId, maxAttempts: 2 });
    await server.close();
    await expect(provider.signDigest(digest, calm)).rejects.toMatchObject({
      code: 'PROVIDER_UNAVAILABLE',
      message: expect.stringMatching(
        /failed with ECONN(?:REFUSED|RESET); KMS can not be reached: check region, endpoint/,
      ) as string,
      retryable: true,
    });
    await provider.close();
    server = await AwsKmsWireServer.start();
  });
});

describe('a lasting fault', () => {
  const lasting: readonly (readonly [string, Fault, string, RegExp])[] = [
    [
      'AccessDeniedException',
      { kind: 'exception', name: 'AccessDeniedException' },
      'KEY_ACCESS_DENIED',
      /^Sign on arn:\S+ failed with AccessDeniedException; allow kms:Sign on this key/,
    ],
    [
      'NotFoundException',
      { kind: 'exception', name: 'NotFoundException' },
      'KEY_NOT_FOUND',
      /check keyId, region/,
    ],
    [
      'InvalidArnException',
      { kind: 'exception', name: 'InvalidArnException' },
      'KEY_NOT_FOUND',
      /check the ARN/,
    ],
    [
      'DisabledException',
      { kind: 'exception', name: 'DisabledException' },
      'KEY_UNSUITABLE',
      /enable it/,
    ],
    [
      'KMSInvalidStateException',
      { kind: 'exception', name: 'KMSInvalidStateException' },
      'KEY_UNSUITABLE',
      /cancel its deletion/,
    ],
    [
      'InvalidKeyUsageException',
      { kind: 'exception', name: 'InvalidKeyUsageException' },
      'KEY_UNSUITABLE',
      /SIGN_VERIFY/,
    ],
    [
      'UnsupportedOperationException',
      { kind: 'exception', name: 'UnsupportedOperationException' },
      'KEY_UNSUITABLE',
      /ECC_SECG_P256K1/,
    ],
    [
      'ExpiredTokenException',
      { kind: 'exception', name: 'ExpiredTokenException' },
      'KEY_ACCESS_DENIED',
      /check that they are current, and the clock/,
    ],
    [
      'ValidationException',
      { kind: 'exception', name: 'ValidationException' },
      'PROVIDER_UNAVAILABLE',
      /KMS refused the request/,
    ],
    [
      'garbage for JSON',
      { kind: 'body', status: 200, body: '{"KeyId": "arn:aws' },
      'PROVIDER_REPLY_INVALID',
      /does not speak as KMS does/,
    ],
    [
      'a page that is no JSON',
      { kind: 'body', status: 200, body: '<html>log in</html>' },
      'PROVIDER_REPLY_INVALID',
      /check endpoint and any proxy/,
    ],
    [
      'an empty object',
      { kind: 'body', status: 200, body: '{}' },
      'PROVIDER_REPLY_INVALID',
      /not one of KMS/,
    ],
    [
      'a reply without a signature',
      { kind: 'reply', fields: { Signature: undefined } },
      'PROVIDER_REPLY_INVALID',
      /not one of KMS/,
    ],
    [
      'a reply of another algorithm',
      { kind: 'reply', fields: { SigningAlgorithm: 'ECDSA_SHA_384' } },
      'PROVIDER_REPLY_INVALID',
      /not one of KMS/,
    ],
    [
      'a reply that names another key',
      {
        kind: 'reply',
        fields: {
          KeyId: 'arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab',
        },
      },
      'PROVIDER_REPLY_INVALID',
      /^Sign answered for another key than arn:/,
    ],
  ];
  it.each(lasting)('%s is not tried again', async (_, fault, code, message) => {
    const provider = await open(server, { keyId });
    server.setFault('Sign', fault);
    await expect(provider.signDigest(digest, calm)).rejects.toMatchObject({
      name: 'ProviderError',
      code,
      message: expect.stringMatching(message) as string,
      retryable: false,
    });
    expect(server.requests['Sign']).toBe(1);
    await provider.close();
  });

  it('of the same multi-Region key of another Region answering is not tried again', async () => {
    const arn = server.createKey({ multiRegion: true });
    const provider = await open(server, { keyId: arn });
    const replica = arn.replace('eu-central-1', 'us-east-1');
    server.setFault('Sign', { kind: 'reply', fields: { KeyId: replica } });
    await expect(provider.signDigest(digest, calm)).rejects.toMatchObject({
      code: 'PROVIDER_REPLY_INVALID',
      details: `the reply names ${replica}`,
    });
    await provider.close();
  });

  it('names the action that IAM misses at open', async () => {
    server.setFault('GetPublicKey', { kind: 'exception', name: 'AccessDeniedException' });
    await expect(open(server, { keyId })).rejects.toMatchObject({
      code: 'KEY_ACCESS_DENIED',
      message: expect.stringContaining('allow kms:GetPublicKey on this key') as string,
    });
  });

  it.each(['DescribeKey', 'GetPublicKey'])(
    'of %s answering for another key refuses to open',
    async (operation) => {
      const other = server.createKey();
      server.setFault(operation, {
        kind: 'reply',
        fields:
          operation === 'GetPublicKey'
            ? { KeyId: other }
            : { KeyMetadata: server.metadataOf(other) },
      });
      await expect(open(server, { keyId })).rejects.toMatchObject({
        code: 'PROVIDER_REPLY_INVALID',
        message: `${operation} answered for another key than ${keyId}; check endpoint and any proxy between`,
      });
    },
  );
});

describe('a signature that only the gate can judge', () => {
  it('is handed on as it came when another key made it', async () => {
    const other = server.createKey();
    const provider = await open(server, { keyId });
    const signature = server.signatureBy(other, digest);
    server.setFault('Sign', {
      kind: 'reply',
      fields: { Signature: Buffer.from(signature).toString('base64') },
    });
    expect(await provider.signDigest(digest, calm)).toEqual({ encoding: 'der', bytes: signature });
    await provider.close();
  });

  it('is handed on as it came when it is not DER', async () => {
    const provider = await open(server, { keyId });
    server.setFault('Sign', { kind: 'reply', fields: { Signature: 'MIAB/////w==' } });
    expect(await provider.signDigest(digest, calm)).toEqual({
      encoding: 'der',
      bytes: Uint8Array.from(Buffer.from('MIAB/////w==', 'base64')),
    });
    await provider.close();
  });
});

describe('secrets', () => {
  it('are in no error, whatever AWS repeats of them, and in no log line', async () => {
    const { accessKeyId, secretAccessKey, sessionToken } = server.credentials;
    const provider = await open(server, { keyId, maxAttempts: 2 });
    const role = 'arn:aws:sts::111122223333:assumed-role/livepeer-hsm-signer/i-0123456789abcdef0';
    const message = `${role}: token ${sessionToken} of ${accessKeyId} with ${secretAccessKey} is bad`;
    for (const name of ['AccessDeniedException', 'KMSInternalException', 'ExpiredTokenException']) {
      server.setFault('Sign', { kind: 'exception', name, message });
      const error: unknown = await provider.signDigest(digest, calm).catch((e: unknown) => e);
      expect(error).toMatchObject({
        details: expect.stringMatching(
          /^\w+, status 400, AWS request id [0-9a-f-]{36}: arn:aws:sts::\d{12}:assumed-role\/livepeer-hsm-signer\/i-0123456789abcdef0: token \[secret\] of \[secret\] with \[secret\] is bad$/,
        ) as string,
      });
      const everything = inspect(error, { depth: Infinity, showHidden: true });
      for (const secret of [accessKeyId, secretAccessKey, sessionToken]) {
        expect(everything).not.toContain(secret);
      }
    }
    await provider.close();

    useCredentials({ ...server.credentials, secretAccessKey: 'y'.repeat(40) });
    const error: unknown = await open(server, { keyId }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'KEY_ACCESS_DENIED' });
    const everything = inspect([error, logged], { depth: Infinity, showHidden: true });
    for (const secret of [accessKeyId, sessionToken, 'y'.repeat(40)]) {
      expect(everything).not.toContain(secret);
    }
  });
});
