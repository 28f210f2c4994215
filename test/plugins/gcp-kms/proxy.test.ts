import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { generate } from 'selfsigned';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ConnectProxy } from '../../support/connect-proxy.ts';
import { CredentialService } from '../../support/credential-service.ts';
import { type GcpKmsWireServer, startGcpKmsWireServer } from '../../support/gcp-kms-wire-server.ts';
import { openKey, patient } from './open-key.ts';

/** gRPC reads the name of this file when it is loaded. */
const rootsPath = vi.hoisted(() => {
  const path = `/tmp/gcp-kms-proxy-roots-${process.pid}-${performance.now()}.pem`;
  process.env['GRPC_DEFAULT_SSL_ROOTS_FILE_PATH'] = path;
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

let home: string;
let server: GcpKmsWireServer;
let metadata: CredentialService;
let proxy: ConnectProxy;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'gcp-kms-'));
  await writeFile(rootsPath, certificate);
  server = await startGcpKmsWireServer({ tls: { certificate, privateKey } });
  metadata = await CredentialService.start(() =>
    JSON.stringify({ access_token: 'token', token_type: 'Bearer', expires_in: 3600 }),
  );
  proxy = await ConnectProxy.start();
  vi.stubEnv('HOME', home);
  vi.stubEnv('GCE_METADATA_HOST', metadata.url.slice('http://'.length));
  for (const name of ['HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy']) vi.stubEnv(name, '');
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await server.close();
  await metadata.close();
  await proxy.close();
  await rm(home, { recursive: true });
  await rm(rootsPath);
});

async function openAndSign(): Promise<void> {
  const provider = await openKey(server, { insecure: false, attemptTimeoutMs: 20_000 });
  await provider.signDigest(new Uint8Array(32), patient).finally(() => provider.close());
}

describe('a proxy of the environment', () => {
  it.each(['HTTPS_PROXY', 'https_proxy'])(
    'in %s carries the calls, and no request for tokens of this machine',
    async (name) => {
      vi.stubEnv(name, proxy.url);
      await openAndSign();
      expect(server.signCount).toBe(1);
      expect(new Set(proxy.tunnels)).toEqual(new Set([server.endpoint]));
      expect(proxy.refused).toBe(0);
      expect(metadata.requests).toBeGreaterThan(0);
    },
  );

  it('may leave out its scheme, as for curl', async () => {
    vi.stubEnv('HTTPS_PROXY', proxy.url.replace('http://', ''));
    await openAndSign();
    expect(proxy.tunnels).toContain(server.endpoint);
  });

  it.each(['*', 'localhost', 'LOCALHOST', 'kms.example.com, localhost', 'localhost:PORT'])(
    'is passed by for the hosts of NO_PROXY=%s',
    async (list) => {
      vi.stubEnv('HTTPS_PROXY', proxy.url);
      vi.stubEnv('NO_PROXY', list.replace('PORT', server.endpoint.split(':')[1] ?? ''));
      await openAndSign();
      expect(server.signCount).toBe(1);
      expect(proxy.tunnels).toEqual([]);
    },
  );

  it.each(['kms.example.com', 'host', 'localhost:1', '.localhost.example'])(
    'is used for the hosts that NO_PROXY=%s does not name',
    async (list) => {
      vi.stubEnv('HTTPS_PROXY', proxy.url);
      vi.stubEnv('NO_PROXY', list);
      await openAndSign();
      expect(proxy.tunnels).toContain(server.endpoint);
    },
  );

  it('that refuses is an outage, without its password', async () => {
    vi.stubEnv('HTTPS_PROXY', `http://signer:wrong-password@${proxy.host}`);
    const error: unknown = await openAndSign().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'PROVIDER_UNAVAILABLE', retryable: true });
    expect(proxy.refused).toBeGreaterThan(0);
    expect(inspect(error, { depth: Infinity, showHidden: true })).not.toContain('wrong-password');
  });

  it.each([
    ['http://signer:planted-secret@ho st:3128', /^HTTPS_PROXY is not the URL of an HTTP proxy/],
    ['http://signer:planted-secret%zz@host:3128', /^HTTPS_PROXY is not the URL of an HTTP proxy/],
    ['socks5://signer:planted-secret@host:1080', /^HTTPS_PROXY is not the URL of an HTTP proxy/],
    ['https://signer:planted-secret@host:3128', /without TLS only: write http:\/\//],
  ])(
    'that can’t be used is refused at start, without what was written: %j',
    async (value, text) => {
      vi.stubEnv('HTTPS_PROXY', value);
      const error: unknown = await openAndSign().catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        code: 'PROVIDER_UNAVAILABLE',
        message: expect.stringMatching(text) as string,
        retryable: false,
      });
      expect(inspect(error, { depth: Infinity, showHidden: true })).not.toContain('planted-secret');
      expect(metadata.requests).toBe(0);
    },
  );
});
