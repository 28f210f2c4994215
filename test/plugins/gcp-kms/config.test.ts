import { describe, expect, it } from 'vitest';
import { parseEndpoint } from '../../../plugins/gcp-kms/config.ts';
import { plugin } from '../../../plugins/gcp-kms/index.ts';

const key = 'projects/p-1/locations/europe-west3/keyRings/ring/cryptoKeys/payer';
const keyVersion = `${key}/cryptoKeyVersions/1`;

function problems(settings: Readonly<Record<string, unknown>>): string[] {
  const { error } = plugin.configSchema.safeParse({ keyVersion, ...settings });
  return error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];
}

describe('configuration of gcp-kms', () => {
  it('needs nothing but the key version, and keeps below 50 signatures a second by itself', () => {
    expect(plugin.configSchema.parse({ keyVersion })).toEqual({
      keyVersion,
      insecure: false,
      requestsPerSecond: 50,
      concurrency: 32,
      maxQueued: 200,
      attemptTimeoutMs: 1500,
      maxAttempts: 3,
    });
  });

  it('takes a project of a domain', () => {
    expect(problems({ keyVersion: keyVersion.replace('p-1', 'example.com:p-1') })).toEqual([]);
  });

  it('refuses a key without a version and says why one is needed', () => {
    expect(problems({ keyVersion: key })).toEqual([
      'keyVersion: the version is missing: add /cryptoKeyVersions/N. Each version is another key pair, ' +
        'so another payer address; naming one pins the address',
    ]);
  });

  it.each([
    '',
    'payer',
    `/${keyVersion}`,
    `${keyVersion}/`,
    `${keyVersion}\n`,
    `${key}/cryptoKeyVersions/0`,
    `${key}/cryptoKeyVersions/latest`,
    `gcp-kms:${keyVersion}`,
    keyVersion.replace('/keyRings/ring', ''),
    keyVersion.replace('payer', 'pay er'),
  ])('refuses %j as a key version', (name) => {
    expect(problems({ keyVersion: name })).toEqual([
      'keyVersion: expected projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N',
    ]);
  });

  it.each([
    ['cloudkms.europe-west3.rep.googleapis.com', 'cloudkms.europe-west3.rep.googleapis.com', 443],
    ['localhost:4433', 'localhost', 4433],
    ['[::1]:4433', '[::1]', 4433],
  ])('takes %s as an endpoint', (endpoint, host, port) => {
    expect(problems({ endpoint })).toEqual([]);
    expect(parseEndpoint(endpoint)).toEqual({ host, port });
  });

  it.each(['https://cloudkms.googleapis.com', 'host/path', 'host:', 'user@host', ''])(
    'refuses %j as an endpoint',
    (endpoint) => {
      expect(problems({ endpoint })).toEqual([
        'endpoint: expected host or host:port, without https:// and path',
      ]);
    },
  );

  it.each(['kms.example:0', 'kms.example:65536', '[::1]:99999'])(
    'refuses %j as an endpoint, for its port',
    (endpoint) => {
      expect(problems({ endpoint })).toEqual(['endpoint: expected a port, 1 to 65535']);
    },
  );

  it.each(['localhost:1', '127.0.0.1:1', '127.9.9.9:1', '[::1]:1'])(
    'takes insecure with the loopback endpoint %s',
    (endpoint) => {
      expect(problems({ endpoint, insecure: true })).toEqual([]);
    },
  );

  it.each([
    undefined,
    'cloudkms.googleapis.com',
    '10.0.0.1:1',
    '127.0.0.1.example.com:1',
    'localhost.example.com:1',
    '[::2]:1',
  ])('refuses insecure with the endpoint %s', (endpoint) => {
    expect(problems({ endpoint, insecure: true })).toEqual([
      expect.stringMatching(/^insecure: is for a test server on this machine/) as string,
    ]);
  });

  it('refuses settings that it does not know, so credentials can not be put here', () => {
    expect(problems({ keyFilename: 'key.json' })).toEqual([
      expect.stringContaining('"keyFilename"') as string,
    ]);
  });
});
