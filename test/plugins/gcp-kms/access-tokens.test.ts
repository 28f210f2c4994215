import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { generate } from 'selfsigned';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { KeyProvider } from '../../../src/keys/provider.ts';
import { CredentialService } from '../../support/credential-service.ts';
import { type GcpKmsWireServer, startGcpKmsWireServer } from '../../support/gcp-kms-wire-server.ts';
import { openKey, patient, recordingContext } from './open-key.ts';

/** gRPC reads the name of this file when it is loaded. */
const rootsPath = vi.hoisted(() => {
  const path = `/tmp/gcp-kms-roots-${process.pid}-${performance.now()}.pem`;
  vi.stubEnv('GRPC_DEFAULT_SSL_ROOTS_FILE_PATH', path);
  return path;
});

const { cert: certificate, private: privateKey } = await generate(
  [{ name: 'commonName', value: 'localhost' }],
  {
    keyType: 'ec',
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] },
    ],
  },
);

const digest = new Uint8Array(32).fill(7);
/** Longer than the source of tokens may take, so that its failure shows and not the attempt's deadline. */
const settings = { insecure: false, attemptTimeoutMs: 20_000, maxAttempts: 1 };

let home: string;
let server: GcpKmsWireServer;
let source: CredentialService;
let provider: KeyProvider | undefined;
let tokens: number;
/** Less than five minutes: the library asks for the next token at each call. */
let lifeSeconds: number;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'gcp-kms-'));
  await writeFile(rootsPath, certificate);
  server = await startGcpKmsWireServer({ tls: { certificate, privateKey } });
  tokens = 0;
  lifeSeconds = 10;
  source = await CredentialService.start(() => {
    tokens += 1;
    return JSON.stringify({
      access_token: `token-${tokens}`,
      token_type: 'Bearer',
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      expires_in: lifeSeconds,
      accessToken: `token-${tokens}`,
      expireTime: new Date(Date.now() + lifeSeconds * 1000).toISOString(),
    });
  });
  vi.stubEnv('HOME', home);
  vi.stubEnv('GCE_METADATA_HOST', source.url.slice('http://'.length));
});
afterEach(async () => {
  await provider?.close();
  provider = undefined;
  await server.close();
  await source.close();
  vi.unstubAllEnvs();
  await rm(home, { recursive: true });
  await rm(rootsPath);
});

async function useCredentialsFile(content: unknown): Promise<void> {
  const path = join(home, 'credentials.json');
  await writeFile(path, JSON.stringify(content));
  vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', path);
}

async function useWorkloadIdentity(impersonates: boolean): Promise<void> {
  const subject = join(home, 'subject-token');
  await writeFile(subject, 'subject');
  await useCredentialsFile({
    type: 'external_account',
    audience: '//iam.googleapis.com/locations/global/workforcePools/pool/providers/provider',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: `${source.url}/sts`,
    ...(impersonates && {
      service_account_impersonation_url: `${source.url}/v1/projects/-/serviceAccounts/signer@test-project.iam.gserviceaccount.com:generateAccessToken`,
    }),
    credential_source: { file: subject },
  });
}

const sources = {
  'the metadata server': () => Promise.resolve(),
  'a token exchange (STS)': () => useWorkloadIdentity(false),
  'a service account to impersonate': () => useWorkloadIdentity(true),
};

describe('access tokens for Cloud KMS', { timeout: 60_000 }, () => {
  it.each(Object.entries(sources))(
    'of %s are asked for again when it fails for a moment',
    async (name, use) => {
      await use();
      provider = await openKey(server, settings);
      const modes = name === 'the metadata server' ? ['fail', 'throttle'] : ['fail'];
      for (const mode of modes as ('fail' | 'throttle')[]) {
        source.mode = mode;
        const asked = source.requests;
        await expect(provider.signDigest(digest, patient)).rejects.toMatchObject({
          code: 'PROVIDER_UNAVAILABLE',
          retryable: true,
          message: expect.stringContaining('the service that gives access tokens') as string,
        });
        expect(source.requests).toBeGreaterThan(asked);
        source.mode = 'answer';
        await provider.signDigest(digest, patient);
      }
      expect(server.signCount).toBe(modes.length);
    },
  );

  it('are retried by the signer itself', async () => {
    provider = await openKey(server, { ...settings, maxAttempts: 10 });
    source.failNext(6);
    await provider.signDigest(digest, patient);
    expect(server.signCount).toBe(1);
  });

  it('are waited for at start', async () => {
    source.failNext(6);
    provider = await openKey(server, settings);
    await provider.signDigest(digest, patient);
    expect(server.signCount).toBe(1);
  });

  it('are asked for anew when their source accepted and never answered', async () => {
    provider = await openKey(server, settings);
    source.mode = 'hang';
    await expect(provider.signDigest(digest, patient)).rejects.toMatchObject({
      code: 'PROVIDER_UNAVAILABLE',
      retryable: true,
      details: expect.stringContaining('did not answer within 5000 ms') as string,
    });
    source.mode = 'answer';
    await provider.signDigest(digest, patient);
    expect(server.signCount).toBe(1);
  });

  it('of a source that can’t be reached are an outage, and of one that refuses the signer are not', async () => {
    provider = await openKey(server, settings);
    source.mode = 'forbid';
    await expect(provider.signDigest(digest, patient)).rejects.toMatchObject({
      code: 'KEY_ACCESS_DENIED',
      retryable: false,
    });
    const outage = { code: 'PROVIDER_UNAVAILABLE', retryable: true };
    source.mode = 'disconnect';
    await expect(provider.signDigest(digest, patient)).rejects.toMatchObject(outage);
    vi.stubEnv('GCE_METADATA_HOST', '127.0.0.1:1');
    await expect(provider.signDigest(digest, patient)).rejects.toMatchObject(outage);
    expect(server.signCount).toBe(0);
  });

  it('serve while they are valid, though the next one can’t be had', async () => {
    lifeSeconds = 200;
    provider = await openKey(server, settings);
    source.mode = 'fail';
    await provider.signDigest(digest, patient);
    expect(server.signCount).toBe(1);
  });

  it('that Cloud KMS refuses are replaced once', async () => {
    lifeSeconds = 3600;
    const context = recordingContext();
    provider = await openKey(server, { ...settings, maxAttempts: 3 }, context);
    const before = server.requests.at(-1)?.metadata['authorization'];
    server.failNext('asymmetricSign', status.UNAUTHENTICATED);
    await provider.signDigest(digest, patient);
    expect(server.requests.at(-1)?.metadata['authorization']).not.toBe(before);

    server.failNext('asymmetricSign', status.UNAUTHENTICATED, status.UNAUTHENTICATED);
    await expect(provider.signDigest(digest, patient)).rejects.toMatchObject({
      code: 'KEY_ACCESS_DENIED',
    });
    expect(JSON.stringify(context.lines)).not.toContain('token-');
  });
});
