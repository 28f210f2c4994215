import { spawnSync } from 'node:child_process';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { secp256k1 } from '@noble/curves/secp256k1';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { plugin } from '../../../plugins/aws-kms/index.ts';
import { AwsKmsWireServer } from '../../support/aws-kms-wire-server.ts';
import { calm, configFor, context, digest, open, useCredentials } from './setup.ts';

let server: AwsKmsWireServer;

beforeEach(async () => {
  server = await AwsKmsWireServer.start();
  useCredentials(server.credentials);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await server.close();
});

describe('opening a key', () => {
  it('pins the ARN that an alias stands for, and reads the public key', async () => {
    const arn = server.createKey();
    server.setAlias('alias/livepeer', arn);
    const provider = await open(server, { keyId: 'alias/livepeer', concurrency: 7 });

    expect(provider.keyRef).toBe(`aws-kms:${arn}`);
    expect(provider.concurrency).toBe(7);
    expect(await provider.getPublicKey(calm)).toEqual(server.publicKeyOf(arn));
    expect(server.requests).toEqual({ DescribeKey: 1, GetPublicKey: 1 });
    await provider.close();
  });

  it.each(['key ARN', 'key id', 'alias ARN'])('finds a key by its %s', async (by) => {
    const arn = server.createKey();
    server.setAlias('alias/livepeer', arn);
    const keyId = {
      'key ARN': arn,
      'key id': arn.slice(arn.lastIndexOf('/') + 1),
      'alias ARN': arn.replace(/key\/.*/, 'alias/livepeer'),
    }[by];
    const provider = await open(server, { keyId });
    expect(provider.keyRef).toBe(`aws-kms:${arn}`);
    await provider.close();
  });

  it('opens the multi-Region key of its own Region', async () => {
    const arn = server.createKey({ multiRegion: true });
    const provider = await open(server, { keyId: arn.slice(arn.lastIndexOf('/') + 1) });
    expect(provider.keyRef).toMatch(/:eu-central-1:\d{12}:key\/mrk-[0-9a-f]{32}$/);
    expect(await provider.describeKey(calm)).toMatchObject({ multiRegion: 'PRIMARY' });
    await provider.close();
  });

  it('speaks TLS with an endpoint whose certificate is trusted, and with no other', async () => {
    const tlsServer = await AwsKmsWireServer.start({ tls: true });
    onTestFinished(() => tlsServer.close());
    useCredentials(tlsServer.credentials);
    const keyId = tlsServer.createKey();
    await expect(open(tlsServer, { keyId })).rejects.toMatchObject({
      code: 'PROVIDER_UNAVAILABLE',
      message: expect.stringContaining('DEPTH_ZERO_SELF_SIGNED_CERT') as string,
      retryable: false,
    });

    const trusted = getCACertificates();
    setDefaultCACertificates([...trusted, tlsServer.certificate]);
    onTestFinished(() => setDefaultCACertificates(trusted));
    const provider = await open(tlsServer, { keyId });
    expect(await provider.getPublicKey(calm)).toEqual(tlsServer.publicKeyOf(keyId));
    await provider.close();
  });

  it('refuses a P-256 key', async () => {
    const keyId = server.createKey({ spec: 'ECC_NIST_P256' });
    await expect(open(server, { keyId })).rejects.toMatchObject({
      code: 'KEY_UNSUITABLE',
      message: `${keyId} has spec ECC_NIST_P256; Ethereum needs a key of spec ECC_SECG_P256K1`,
    });
  });

  it('refuses a P-256 public key behind a description that says secp256k1', async () => {
    const keyId = server.createKey();
    const other = server.createKey({ spec: 'ECC_NIST_P256' });
    server.setFault('GetPublicKey', {
      kind: 'reply',
      fields: { PublicKey: server.spkiOf(other).toString('base64') },
    });
    await expect(open(server, { keyId })).rejects.toMatchObject({
      code: 'KEY_UNSUITABLE',
      message: expect.stringContaining('its curve is 1.2.840.10045.3.1.7') as string,
    });
  });

  it('refuses a key that is not for signing', async () => {
    const keyId = server.createKey({ usage: 'KEY_AGREEMENT' });
    await expect(open(server, { keyId })).rejects.toMatchObject({
      code: 'KEY_UNSUITABLE',
      message: `${keyId} has usage KEY_AGREEMENT; make a key of usage SIGN_VERIFY`,
    });
  });

  it.each([
    ['Disabled', 'enable it', false],
    ['PendingDeletion', 'cancel its deletion and enable it, or use another key', false],
    ['PendingImport', 'import its key material', false],
    ['PendingReplicaDeletion', 'use a replica of it, or another key', false],
    ['Creating', 'wait until KMS has made it', true],
    ['Unavailable', 'connect its key store again', true],
    ['BrandNewState', 'see describe-key, or use another key', false],
  ])('refuses a key that is %s', async (state, fix, retryable) => {
    const keyId = server.createKey();
    server.setKeyState(keyId, state);
    await expect(open(server, { keyId })).rejects.toMatchObject({
      code: 'KEY_UNSUITABLE',
      message: `${keyId} has state ${state}; ${fix}`,
      retryable,
    });
  });

  it('takes a key that is Updating, as it is while its primary Region changes', async () => {
    const keyId = server.createKey({ multiRegion: true });
    server.setKeyState(keyId, 'Updating');
    const provider = await open(server, { keyId });
    await provider.checkHealth(calm);
    await expect(provider.signDigest(digest, calm)).resolves.toMatchObject({ encoding: 'der' });
    await provider.close();
  });

  it('says so when there is no such key', async () => {
    await expect(open(server, { keyId: 'alias/nobody' })).rejects.toMatchObject({
      code: 'KEY_NOT_FOUND',
      message:
        'DescribeKey on alias/nobody failed with NotFoundException; check keyId, region and the account of the credentials',
    });
  });

  it('says so when there are no credentials', async () => {
    useCredentials({});
    await expect(open(server, { keyId: 'alias/livepeer' })).rejects.toMatchObject({
      code: 'KEY_ACCESS_DENIED',
      message: expect.stringMatching(/no AWS credentials were found: .* set AWS_PROFILE/) as string,
    });
    expect(server.requests).toEqual({});
  });

  it('says so when AWS does not know the secret of the credentials', async () => {
    useCredentials({ ...server.credentials, secretAccessKey: 'x'.repeat(40) });
    await expect(open(server, { keyId: server.createKey() })).rejects.toMatchObject({
      code: 'KEY_ACCESS_DENIED',
      message: expect.stringContaining('InvalidSignatureException; AWS does not accept') as string,
    });
  });

  it('says what to install when the SDK is missing', () => {
    const withoutSdk = `import { registerHooks } from 'node:module';
      registerHooks({
        resolve(specifier, context, next) {
          if (!specifier.startsWith('@aws-sdk/')) return next(specifier, context);
          throw Object.assign(new Error('not there'), { code: 'ERR_MODULE_NOT_FOUND' });
        },
      });`;
    const program = `const { plugin } = await import('./plugins/aws-kms/index.ts');
      const config = plugin.configSchema.parse({ keyId: 'alias/livepeer', region: 'eu-central-1' });
      await plugin.open(config).catch(({ code, message }) => process.stdout.write(code + ': ' + message));`;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [
        '--import',
        `data:text/javascript,${encodeURIComponent(withoutSdk)}`,
        '--input-type=module',
        '--eval',
        program,
      ],
      { encoding: 'utf8' },
    );
    expect({ stdout, stderr }).toEqual({
      stdout:
        'PROVIDER_MISSING: the AWS SDK is not installed: run "npm install @aws-sdk/client-kms" where the signer is installed, with -g if it is installed so',
      stderr: '',
    });
  });
});

describe('an open key', () => {
  it('signs the digest as it is, in DER', async () => {
    const arn = server.createKey();
    const provider = await open(server, { keyId: arn });
    const signatures = await Promise.all(
      Array.from({ length: 20 }, () => provider.signDigest(digest, calm)),
    );
    for (const { encoding, bytes } of signatures) {
      expect(encoding).toBe('der');
      const signature = secp256k1.Signature.fromDER(bytes);
      expect(secp256k1.verify(signature, digest, server.publicKeyOf(arn), { lowS: false })).toBe(
        true,
      );
    }
    expect(server.requests['Sign']).toBe(20);
    await provider.close();
  });

  it('keeps its ARN when the alias is moved, and its health tells', async () => {
    const [arn, otherArn] = [server.createKey(), server.createKey()];
    server.setAlias('alias/livepeer', arn);
    const provider = await open(server, { keyId: 'alias/livepeer' });
    await provider.checkHealth(calm);

    server.setAlias('alias/livepeer', otherArn);
    await expect(provider.checkHealth(calm)).rejects.toMatchObject({
      code: 'KEY_UNSUITABLE',
      message: expect.stringContaining(
        `alias/livepeer now stands for ${otherArn}, at start it stood for ${arn}`,
      ) as string,
    });
    const { bytes } = await provider.signDigest(digest, calm);
    const signature = secp256k1.Signature.fromDER(bytes);
    expect(secp256k1.verify(signature, digest, server.publicKeyOf(arn), { lowS: false })).toBe(
      true,
    );
    await provider.close();
  });

  it('is not healthy, and does not sign, once the key is disabled; it serves again when enabled', async () => {
    const keyId = server.createKey();
    const provider = await open(server, { keyId });
    server.setKeyState(keyId, 'Disabled');
    await expect(provider.checkHealth(calm)).rejects.toMatchObject({ code: 'KEY_UNSUITABLE' });
    await expect(provider.signDigest(digest, calm)).rejects.toMatchObject({
      code: 'KEY_UNSUITABLE',
      message: `Sign on ${keyId} failed with DisabledException; the key is disabled: enable it`,
      retryable: false,
    });
    expect(server.requests['Sign']).toBe(1);

    server.setKeyState(keyId, 'Enabled');
    await provider.checkHealth(calm);
    await expect(provider.signDigest(digest, calm)).resolves.toMatchObject({ encoding: 'der' });
    await provider.close();
  });

  it('describes itself without using the key', async () => {
    const keyId = server.createKey();
    const provider = await open(server, { keyId });
    expect(await provider.describeKey(calm)).toEqual({
      arn: keyId,
      spec: 'ECC_SECG_P256K1',
      usage: 'SIGN_VERIFY',
      state: 'Enabled',
      origin: 'AWS_KMS',
      multiRegion: 'no',
      created: '2025-10-09T08:53:20.500Z',
    });
    expect(server.signatures).toBe(0);
    await provider.close();
  });

  it('rejects calls under way and later ones as PROVIDER_CLOSED when it is closed, twice if need be', async () => {
    const keyId = server.createKey();
    const provider = await open(server, { keyId, concurrency: 2 });
    server.setFault('Sign', { kind: 'delay', ms: 60_000 });
    const calls = Promise.allSettled([
      ...Array.from({ length: 5 }, () => provider.signDigest(digest, calm)),
    ]);
    await vi.waitFor(() => expect(server.requests['Sign']).toBe(2));
    await provider.close();
    await provider.close();
    for (const call of await calls) {
      expect(call).toMatchObject({ status: 'rejected', reason: { code: 'PROVIDER_CLOSED' } });
    }
    await expect(provider.signDigest(digest, calm)).rejects.toMatchObject({
      code: 'PROVIDER_CLOSED',
    });
    await expect(provider.checkHealth(calm)).rejects.toMatchObject({ code: 'PROVIDER_CLOSED' });
    expect(server.requests['Sign']).toBe(2);
  });

  it('can be opened again after it was closed', async () => {
    const keyId = server.createKey();
    await (await open(server, { keyId })).close();
    const provider = await open(server, { keyId });
    await expect(provider.signDigest(digest, calm)).resolves.toMatchObject({ encoding: 'der' });
    await provider.close();
  });
});

describe('making a key', () => {
  const make = (section: Readonly<Record<string, unknown>>) =>
    plugin.generateKey?.(configFor(server, section), context);

  it('makes a secp256k1 signing key and gives it the alias', async () => {
    const made = await make({ keyId: 'alias/livepeer' });
    const provider = await open(server, { keyId: 'alias/livepeer' });
    expect(made).toEqual({
      keyRef: provider.keyRef,
      publicKey: await provider.getPublicKey(calm),
    });
    await provider.close();
  });

  it('refuses an alias that stands for a key already, and makes none', async () => {
    const arn = server.createKey();
    server.setAlias('alias/livepeer', arn);
    await expect(make({ keyId: 'alias/livepeer' })).rejects.toMatchObject({
      code: 'KEY_ALREADY_EXISTS',
      message: expect.stringContaining(arn) as string,
    });
    expect(server.requests).toEqual({ DescribeKey: 1 });
  });

  it('refuses a key id, which KMS alone can choose, and makes none', async () => {
    const keyId = '1234abcd-12ab-34cd-56ef-1234567890ab';
    await expect(make({ keyId })).rejects.toMatchObject({
      code: 'KEY_NOT_FOUND',
      message: expect.stringContaining('set keyId to alias/NAME') as string,
    });
    expect(server.requests).toEqual({ DescribeKey: 1 });
  });

  it('does not ask twice for a key, even after a passing error', async () => {
    server.setFault('CreateKey', { kind: 'exception', name: 'KMSInternalException', status: 500 });
    await expect(make({ keyId: 'alias/livepeer' })).rejects.toMatchObject({
      code: 'PROVIDER_UNAVAILABLE',
    });
    expect(server.requests['CreateKey']).toBe(1);
  });

  it('names the new key when another one has taken the alias meanwhile', async () => {
    server.setFault('CreateAlias', { kind: 'exception', name: 'AlreadyExistsException' });
    await expect(make({ keyId: 'alias/livepeer' })).rejects.toMatchObject({
      code: 'KEY_ALREADY_EXISTS',
      message: expect.stringMatching(
        /the key arn:aws:kms:\S+ has been made: give it the alias, or schedule its deletion/,
      ) as string,
    });
  });
});
