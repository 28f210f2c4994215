import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { AwsKmsProvider } from '../../../plugins/aws-kms/aws-kms-provider.ts';
import { KmsApi } from '../../../plugins/aws-kms/kms-api.ts';
import { AwsKmsWireServer } from '../../support/aws-kms-wire-server.ts';
import { CredentialService } from '../../support/credential-service.ts';
import { calm, configFor, digest, open, useCredentials } from './setup.ts';

let server: AwsKmsWireServer;
let keyId: string;
let folder: string;

/** Has the SDK load what it loads late, so that the source alone takes time. */
beforeAll(async () => {
  server = await AwsKmsWireServer.start();
  useCredentials({});
  const service = await startContainerService();
  const provider = await open(server, { keyId: server.createKey() });
  await provider.close();
  vi.unstubAllEnvs();
  await service.close();
  await server.close();
});

beforeEach(async () => {
  server = await AwsKmsWireServer.start();
  keyId = server.createKey();
  folder = mkdtempSync(join(tmpdir(), 'aws-credentials-'));
  useCredentials({});
});

afterEach(async () => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
  await server.close();
});

/** Opens the key so that a source of credentials may take 2 s, and an attempt as long as it likes. */
async function openSoon(section: Readonly<Record<string, unknown>> = {}): Promise<AwsKmsProvider> {
  const config = configFor(server, { keyId, attemptTimeoutMs: 60_000, maxAttempts: 1, ...section });
  const kms = await KmsApi.connect(config, 2000);
  const provider = await AwsKmsProvider.open(kms, config);
  onTestFinished(() => provider.close());
  return provider;
}

const long = (): string => new Date(Date.now() + 3_600_000).toISOString();
/** Credentials that have ended already are asked for at every request. */
const past = (): string => new Date(0).toISOString();

/** A container credential service, as of ECS and EKS Pod Identity. */
async function startContainerService(expiration = past): Promise<CredentialService> {
  const service = await CredentialService.start(() => {
    const { accessKeyId, secretAccessKey, sessionToken } = server.credentials;
    return JSON.stringify({
      AccessKeyId: accessKeyId,
      SecretAccessKey: secretAccessKey,
      Token: sessionToken,
      Expiration: expiration(),
    });
  });
  vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', `${service.url}/credentials`);
  return service;
}

const outage = {
  code: 'PROVIDER_UNAVAILABLE',
  message: expect.stringContaining('the source of the AWS credentials') as string,
  retryable: true,
};

describe('a container credential service', () => {
  it.each(['hang', 'hang in the body', 'fail'] as const)(
    'that begins to %s stops signatures only until it answers again',
    async (mode) => {
      const service = await startContainerService();
      onTestFinished(() => service.close());
      const provider = await openSoon();
      await provider.signDigest(digest, calm);

      service.mode = mode;
      await expect(provider.signDigest(digest, calm)).rejects.toMatchObject(outage);
      service.mode = 'answer';
      await expect(provider.signDigest(digest, calm)).resolves.toMatchObject({ encoding: 'der' });
    },
  );

  it('that hangs at start is an outage, not a lack of credentials', async () => {
    const service = await startContainerService();
    onTestFinished(() => service.close());
    service.mode = 'hang';
    await expect(openSoon()).rejects.toMatchObject(outage);
    expect(server.requests).toEqual({});
  });

  it('that hangs for a moment at start is asked again', async () => {
    const service = await startContainerService();
    onTestFinished(() => service.close());
    service.mode = 'hang';
    const opening = openSoon({ maxAttempts: 3 });
    await vi.waitFor(() => expect(service.requests).toBe(1));
    service.mode = 'answer';
    await expect(opening).resolves.toMatchObject({ keyRef: `aws-kms:${keyId}` });
  });

  it('is asked anew when KMS refuses what it gave', async () => {
    const service = await startContainerService(long);
    onTestFinished(() => service.close());
    const provider = await openSoon();
    const asked = service.requests;
    server.credentials.sessionToken = 'another one';
    await expect(provider.signDigest(digest, calm)).rejects.toMatchObject({
      code: 'KEY_ACCESS_DENIED',
    });
    await expect(provider.signDigest(digest, calm)).resolves.toMatchObject({ encoding: 'der' });
    expect(service.requests).toBe(asked + 1);
  });
});

it('a credential_process that hangs is an outage, and is asked anew', async () => {
  const [script, hang, config] = ['credentials.sh', 'hang', 'config'].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  const { accessKeyId, secretAccessKey, sessionToken } = server.credentials;
  const answer = JSON.stringify({
    Version: 1,
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    SessionToken: sessionToken,
  });
  writeFileSync(script, `while [ -e ${hang} ]; do sleep 0.05; done\necho '${answer}'\n`);
  writeFileSync(config, `[default]\ncredential_process = sh ${script}\n`);
  writeFileSync(hang, '');
  onTestFinished(() => rmSync(hang, { force: true }));
  vi.stubEnv('AWS_CONFIG_FILE', config);

  await expect(openSoon()).rejects.toMatchObject(outage);
  rmSync(hang);
  expect(existsSync(hang)).toBe(false);
  await expect(open(server, { keyId })).resolves.toMatchObject({ keyRef: `aws-kms:${keyId}` });
});

it('an STS that hangs on a web identity is an outage, and is asked anew', async () => {
  const { accessKeyId, secretAccessKey, sessionToken } = server.credentials;
  const sts = await CredentialService.start(
    () => `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
      <AssumeRoleWithWebIdentityResult><Credentials>
        <AccessKeyId>${accessKeyId}</AccessKeyId><SecretAccessKey>${secretAccessKey}</SecretAccessKey>
        <SessionToken>${sessionToken}</SessionToken><Expiration>${long()}</Expiration>
      </Credentials></AssumeRoleWithWebIdentityResult>
    </AssumeRoleWithWebIdentityResponse>`,
    'text/xml',
  );
  onTestFinished(() => sts.close());
  const token = join(folder, 'token');
  writeFileSync(token, 'eyJhbGciOiJub25lIn0.e30.');
  vi.stubEnv('AWS_WEB_IDENTITY_TOKEN_FILE', token);
  vi.stubEnv('AWS_ROLE_ARN', 'arn:aws:iam::111122223333:role/livepeer-signer');
  vi.stubEnv('AWS_ENDPOINT_URL_STS', sts.url);

  sts.mode = 'hang';
  await expect(openSoon()).rejects.toMatchObject(outage);
  sts.mode = 'answer';
  await expect(open(server, { keyId })).resolves.toMatchObject({ keyRef: `aws-kms:${keyId}` });
});

describe('a clock that AWS does not accept', () => {
  it.each([
    ['InvalidSignatureException', 3_600_000],
    ['SignatureDoesNotMatch', -3_600_000],
    ['RequestTimeTooSkewed', 3_600_000],
    ['RequestExpired', 3_600_000],
    ['RequestInTheFuture', -3_600_000],
  ])('is made up for after %s', async (refusal, aheadMs) => {
    useCredentials(server.credentials);
    server.clock = { aheadMs, refusal };
    const provider = await open(server, { keyId });
    expect(server.requests).toEqual({ DescribeKey: 2, GetPublicKey: 1 });

    server.clock = { aheadMs: 0, refusal };
    await expect(provider.signDigest(digest, calm)).resolves.toMatchObject({ encoding: 'der' });
    expect(server.requests['Sign']).toBe(2);
    await provider.close();
  });

  it('is named when it goes on', async () => {
    useCredentials(server.credentials);
    server.clock = { aheadMs: 3_600_000, refusal: 'InvalidSignatureException' };
    await expect(open(server, { keyId, maxAttempts: 1 })).rejects.toMatchObject({
      code: 'KEY_ACCESS_DENIED',
      message: expect.stringContaining('the clock of this machine is wrong') as string,
    });
  });
});
