import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { status } from '@grpc/grpc-js';
import { generate } from 'selfsigned';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { plugin } from '../../../plugins/gcp-kms/index.ts';
import { type GcpKmsWireServer, startGcpKmsWireServer } from '../../support/gcp-kms-wire-server.ts';
import { parseConfig } from './open-key.ts';

const clientEmail = 'signer@test-project.iam.gserviceaccount.com';
const { privateKey: serviceAccountKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});
const { cert: certificate, private: tlsKey } = await generate(
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
let metadataServer: Server;
let metadataRequests: number;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'gcp-kms-'));
  metadataRequests = 0;
  metadataServer = createServer((_, response) => {
    metadataRequests += 1;
    response.writeHead(404, { 'metadata-flavor': 'Google' }).end();
  });
  await new Promise<void>((resolve) => metadataServer.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  await server.close();
  await new Promise((resolve) => metadataServer.close(resolve));
  await rm(home, { recursive: true });
});

async function writeInHome(name: string, content: string): Promise<string> {
  const path = join(home, name);
  await writeFile(path, content, { mode: 0o600 });
  return path;
}

/** The environment of a machine that trusts the server's certificate. */
async function trust(): Promise<Record<string, string>> {
  return { GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: await writeInHome('roots.pem', certificate) };
}

/** The environment of a machine that has a service account's key. */
async function serviceAccount(): Promise<Record<string, string>> {
  const account = {
    type: 'service_account',
    project_id: 'test-project',
    private_key_id: 'test-key-id',
    private_key: serviceAccountKey,
    client_email: clientEmail,
    token_uri: 'https://oauth2.invalid/token',
  };
  return {
    GOOGLE_APPLICATION_CREDENTIALS: await writeInHome('account.json', JSON.stringify(account)),
  };
}

function startTlsServer(): Promise<GcpKmsWireServer> {
  return startGcpKmsWireServer({ tls: { certificate, privateKey: tlsKey } });
}

type Outcome = {
  readonly isProviderError: boolean;
  readonly code?: string;
  readonly message?: string;
  readonly details?: string;
  readonly failure?: string;
  readonly seen: string;
};

/** Opens the server's key and signs once, on a machine with nothing but a metadata server that has no credentials. */
async function runSigner(
  environment: Readonly<Record<string, string>>,
  settings: Readonly<Record<string, unknown>>,
): Promise<Outcome> {
  const { port } = metadataServer.address() as AddressInfo;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      fileURLToPath(new URL('signing-program.ts', import.meta.url)),
      JSON.stringify(parseConfig(server, settings)),
    ],
    {
      env: {
        HOME: home,
        GCE_METADATA_HOST: `127.0.0.1:${port}`,
        METADATA_SERVER_DETECTION: 'assume-present',
        ...environment,
      },
    },
  );
  return JSON.parse(stdout) as Outcome;
}

function authorizations(): unknown[] {
  return server.requests.map(({ metadata }) => metadata['authorization']);
}

describe('credentials for Cloud KMS', () => {
  it('are Application Default Credentials, sent over TLS', async () => {
    server = await startTlsServer();
    expect(
      await runSigner({ ...(await trust()), ...(await serviceAccount()) }, { insecure: false }),
    ).toMatchObject({
      failure: 'undefined',
    });
    expect(server.signCount).toBe(1);
    expect(authorizations()).toHaveLength(4);
    for (const authorization of authorizations()) {
      const claims = /^Bearer [\w-]+\.([\w-]+)\.[\w-]+$/.exec(String(authorization))?.[1] ?? '';
      expect(JSON.parse(Buffer.from(claims, 'base64url').toString())).toMatchObject({
        iss: clientEmail,
      });
    }
  });

  it('are not sent to a server whose certificate is not trusted', async () => {
    server = await startTlsServer();
    expect(await runSigner(await serviceAccount(), { insecure: false })).toMatchObject({
      code: 'PROVIDER_UNAVAILABLE',
      details: expect.stringContaining('self-signed certificate') as string,
    });
    expect(server.requests).toEqual([]);
  });

  it('are neither looked for nor sent when insecure is set', async () => {
    server = await startGcpKmsWireServer();
    expect(await runSigner({}, { insecure: true })).toMatchObject({ failure: 'undefined' });
    expect(await runSigner(await serviceAccount(), { insecure: true })).toMatchObject({
      failure: 'undefined',
    });
    expect(metadataRequests).toBe(0);
    expect(authorizations()).toEqual(Array(8).fill(undefined));
  });

  it('are asked of the metadata server otherwise, and one without a token is KEY_ACCESS_DENIED', async () => {
    server = await startTlsServer();
    expect(await runSigner(await trust(), { insecure: false })).toMatchObject({
      code: 'KEY_ACCESS_DENIED',
      message: expect.stringContaining('gave no access token') as string,
    });
    expect(metadataRequests).toBeGreaterThan(0);
    expect(server.requests).toEqual([]);
  });

  it('that are nowhere to be found are KEY_ACCESS_DENIED, and do not end the process', async () => {
    server = await startTlsServer();
    expect(
      await runSigner({ METADATA_SERVER_DETECTION: 'none' }, { insecure: false }),
    ).toMatchObject({
      isProviderError: true,
      code: 'KEY_ACCESS_DENIED',
      message:
        'no Application Default Credentials were found: run with a service account attached, or set ' +
        'GOOGLE_APPLICATION_CREDENTIALS to a credentials file',
    });
  });

  it('whose file is missing are KEY_ACCESS_DENIED with its path in the details', async () => {
    server = await startTlsServer();
    const missing = join(home, 'missing.json');
    expect(
      await runSigner({ GOOGLE_APPLICATION_CREDENTIALS: missing }, { insecure: false }),
    ).toMatchObject({
      code: 'KEY_ACCESS_DENIED',
      details: expect.stringContaining(missing) as string,
    });
  });

  it('appear in no error, log line, description or printed provider', async () => {
    server = await startTlsServer();
    server.failNext(
      'asymmetricSign',
      status.UNAVAILABLE,
      status.UNAUTHENTICATED,
      status.UNAUTHENTICATED,
    );
    const { code, seen } = await runSigner(
      { ...(await trust()), ...(await serviceAccount()) },
      { insecure: false },
    );

    expect(code).toBe('KEY_ACCESS_DENIED');
    expect(seen).toContain('Cloud KMS is asked again');
    const tokens = authorizations().map((authorization) => String(authorization).slice(7));
    expect(tokens.every((token) => token.length > 100)).toBe(true);
    for (const secret of [...tokens, 'Bearer', serviceAccountKey, 'PRIVATE KEY', 'test-key-id']) {
      expect(seen).not.toContain(secret);
    }
  });
});

describe('the package @google-cloud/kms', () => {
  const pluginUrl = JSON.stringify(import.meta.resolve('../../../plugins/gcp-kms/index.ts'));

  async function runProgram(program: string): Promise<unknown> {
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--input-type=module',
      '--eval',
      program,
    ]);
    return JSON.parse(stdout);
  }

  beforeEach(async () => {
    server = await startGcpKmsWireServer();
  });

  it('is asked for by name when it is not installed', async () => {
    const outcome = await runProgram(`
      import { registerHooks } from 'node:module';
      registerHooks({
        resolve(specifier, context, next) {
          if (specifier !== '@google-cloud/kms') return next(specifier, context);
          throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
        },
      });
      const { plugin } = await import(${pluginUrl});
      const config = ${JSON.stringify(parseConfig(server))};
      const { code, message } = await plugin.open(config, { log() {} }).catch((error) => error);
      process.stdout.write(JSON.stringify({ code, message }));
    `);
    expect(outcome).toEqual({
      code: 'PROVIDER_MISSING',
      message:
        'the package @google-cloud/kms is not installed: run "npm install @google-cloud/kms@6" where the signer is installed, with -g if it is installed so',
    });
  });

  it('is not loaded before a key is opened', async () => {
    const outcome = await runProgram(`
      import { registerHooks } from 'node:module';
      const loaded = [];
      registerHooks({
        resolve(specifier, context, next) {
          loaded.push(specifier);
          return next(specifier, context);
        },
      });
      const { plugin } = await import(${pluginUrl});
      const google = loaded.filter((name) => name.includes('google'));
      process.stdout.write(JSON.stringify([plugin.name, loaded.length > 5, google]));
    `);
    expect(outcome).toEqual([plugin.name, true, []]);
  });
});
