import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { plugin } from '../../../plugins/aws-kms/index.ts';
import { AwsKmsWireServer } from '../../support/aws-kms-wire-server.ts';
import { ConnectProxy } from '../../support/connect-proxy.ts';
import { calm, context, digest, open, useCredentials } from './setup.ts';

let server: AwsKmsWireServer;
let keyId: string;

beforeEach(async () => {
  server = await AwsKmsWireServer.start({ tls: true });
  useCredentials(server.credentials);
  for (const name of ['HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy']) vi.stubEnv(name, '');
  keyId = server.createKey();
  const trusted = getCACertificates();
  setDefaultCACertificates([...trusted, server.certificate]);
  onTestFinished(() => setDefaultCACertificates(trusted));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await server.close();
});

describe('a proxy of the environment', () => {
  let proxy: ConnectProxy;
  let kmsHost: string;

  beforeEach(async () => {
    proxy = await ConnectProxy.start();
    kmsHost = server.endpoint.replace('https://', '');
    return () => proxy.close();
  });

  it.each(['HTTPS_PROXY', 'https_proxy'])('in %s carries every request', async (name) => {
    vi.stubEnv(name, proxy.url);
    const provider = await open(server, { keyId, concurrency: 1 });
    await provider.signDigest(digest, calm);
    await provider.close();
    expect(new Set(proxy.tunnels)).toEqual(new Set([kmsHost]));
    expect(server.connections).toBe(proxy.tunnels.length);
  });

  it('may leave out its scheme, as for curl', async () => {
    vi.stubEnv('HTTPS_PROXY', proxy.url.replace('http://', ''));
    await (await open(server, { keyId })).close();
    expect(proxy.tunnels).toContain(kmsHost);
  });

  it('is not asked for a plain endpoint on this machine', async () => {
    const local = await AwsKmsWireServer.start();
    onTestFinished(() => local.close());
    useCredentials(local.credentials);
    vi.stubEnv('HTTPS_PROXY', proxy.url);
    vi.stubEnv('HTTP_PROXY', proxy.url);
    await (await open(local, { keyId: local.createKey() })).close();
    expect(proxy.tunnels).toEqual([]);
  });

  it.each([
    '*',
    'localhost',
    'LOCALHOST',
    '.localhost',
    'kms.example.com,localhost',
    'kms.example.com, localhost',
    'kms.example.com localhost',
    'localhost:PORT',
  ])('is passed by for the hosts of NO_PROXY=%s', async (list) => {
    vi.stubEnv('HTTPS_PROXY', proxy.url);
    vi.stubEnv('NO_PROXY', list.replace('PORT', kmsHost.split(':')[1] ?? ''));
    await (await open(server, { keyId })).close();
    expect(proxy.tunnels).toEqual([]);
  });

  it.each(['kms.example.com', 'host', 'localhost:1', 'notlocalhost'])(
    'is used for the hosts that NO_PROXY=%s does not name',
    async (list) => {
      vi.stubEnv('HTTPS_PROXY', proxy.url);
      vi.stubEnv('NO_PROXY', list);
      await (await open(server, { keyId })).close();
      expect(proxy.tunnels).toContain(kmsHost);
    },
  );

  it('that refuses is named as such, without its password', async () => {
    vi.stubEnv('HTTPS_PROXY', `http://signer:wrong-password@${proxy.host}`);
    const error: unknown = await open(server, { keyId, maxAttempts: 2 }).catch((e: unknown) => e);
    expect(error).toMatchObject({
      code: 'PROVIDER_UNAVAILABLE',
      message: expect.stringContaining('the proxy in HTTPS_PROXY does not let') as string,
      retryable: true,
    });
    expect(proxy.refused).toBe(2);
    const everything = inspect(error, { depth: Infinity, showHidden: true });
    expect(everything).not.toContain('wrong-password');
    expect(everything).not.toContain(Buffer.from('signer:wrong-password').toString('base64'));
  });

  it.each([
    'http://signer:planted-secret@ho st:3128',
    'http://signer:planted-secret%zz@host:3128',
    'socks5://signer:planted-secret@host:1080',
    'http://signer:planted-secret@host:99999',
    'http://signer:planted-secret@host:3128\nx',
    'ftp://planted-secret',
  ])('that is none is refused at start, without what was written: %j', async (value) => {
    vi.stubEnv('HTTPS_PROXY', value);
    const error: unknown = await open(server, { keyId }).catch((e: unknown) => e);
    expect(error).toMatchObject({
      code: 'PROVIDER_UNAVAILABLE',
      message: expect.stringMatching(/^HTTPS_PROXY is not the URL of an HTTP proxy/) as string,
      retryable: false,
    });
    const everything = inspect(error, { depth: Infinity, showHidden: true });
    expect(everything).not.toContain('planted-secret');
    expect(server.connections).toBe(0);
  });
});

describe('an endpoint of the environment', () => {
  const openWithoutEndpoint = () =>
    plugin.open(plugin.configSchema.parse({ keyId, maxAttempts: 1 }), context);

  it.each(['AWS_ENDPOINT_URL_KMS', 'AWS_ENDPOINT_URL', 'AWS_ENDPOINT_URL_STS'])(
    'in %s must be encrypted, as `endpoint` must',
    async (name) => {
      vi.stubEnv(name, 'http://user:planted-secret@kms.example.com');
      const error: unknown = await openWithoutEndpoint().catch((e: unknown) => e);
      expect(error).toMatchObject({
        code: 'PROVIDER_UNAVAILABLE',
        message: `${name} names an endpoint that is not encrypted: expected https:// (http:// only to this machine)`,
        retryable: false,
      });
      expect(inspect(error, { depth: Infinity })).not.toContain('planted-secret');
    },
  );

  it('in the AWS profile must be encrypted too', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'aws-profile-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'config'), '[default]\nendpoint_url = http://kms.example.com\n');
    vi.stubEnv('AWS_CONFIG_FILE', join(folder, 'config'));
    await expect(openWithoutEndpoint()).rejects.toMatchObject({
      code: 'PROVIDER_UNAVAILABLE',
      message: expect.stringContaining('endpoint_url of the AWS profile') as string,
    });
  });

  it('is used when it is encrypted', async () => {
    vi.stubEnv('AWS_ENDPOINT_URL_KMS', server.endpoint);
    const provider = await openWithoutEndpoint();
    expect(provider.keyRef).toBe(`aws-kms:${keyId}`);
    await provider.close();
  });
});
