import { once } from 'node:events';
import { type IncomingMessage, createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { plugin as awsKms } from '../../plugins/aws-kms/index.ts';
import { plugin as gcpKms } from '../../plugins/gcp-kms/index.ts';
import { translateCredentialsError, translateError } from '../../plugins/gcp-kms/grpc-errors.ts';
import type { Caller } from '../../src/auth/authorization.ts';
import { createJwtMethod } from '../../src/auth/jwt.ts';
import { anonymous } from '../../src/auth/principal.ts';
import { createWebhookAuthorizer } from '../../src/auth/webhook.ts';
import { createRpcEndpoint } from '../../src/chain/json-rpc.ts';
import { isSignerError } from '../../src/errors.ts';
import { framesOf, nameOf } from '../../src/foreign-error.ts';
import type { SessionState } from '../../src/pm/session-state.ts';
import { Secret } from '../../src/secret.ts';
import { connectRedis } from '../../src/store/redis.ts';
import { Folder } from '../cli/cli.ts';
import { createRandom } from '../support/random.ts';

/** What is sent to services, which may send it back. */
const secrets = {
  webhook: 'whsec_5f7QzT9mKx2LpR8vB3nW',
  jwt: 'eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIn0.c2lnbmF0dXJlLTg4MTIzNDU2Nzg5',
  rpcPassword: 'rpc-pa55-Kq2-93f1',
  rpcKey: '4f1c9a8d7e6b5a4938271605',
  redis: 'R3dis-pa55-7Qx-44c0',
  awsSecretKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYzEXAMPLEK3',
  awsToken: 'FwoGZXIvYXdzEJr77SESSION0123456789tokenAAAA1',
  awsContainerToken: 'c0ntainer-auth-t0ken-88',
  gcpToken: 'opaque-access-t0ken-4419-zz',
  gcpRefresh: 'r3fresh-t0ken-of-google-7731',
  gcpClientSecret: 'GOCSPX-cl13nt-secret-5510',
  gcpSubjectToken: 'subj3ct-t0ken-6620-abcd',
};

const telltales = Object.values(secrets).flatMap((secret) =>
  secret.split(/[\s:@/?=.;+]+/).filter((part) => part.length >= 7 && /\d/.test(part)),
);

const random = createRandom('malformed answers');
const outputs: string[] = [];
let answers = 0;

/** All that an operator or a client could be shown of what was thrown. */
function note(error: unknown): void {
  outputs.push(
    isSignerError(error)
      ? `${error.message}\n${error.details ?? ''}\n${JSON.stringify(error)}`
      : `${nameOf(error)}\n${framesOf(error) ?? ''}`,
  );
}

function expectNoSecret(input: string): void {
  const output = outputs.join('\n');
  const found = telltales.filter((part) => output.includes(part));
  expect({ found, output: found.length > 0 ? output : '' }, input).toEqual({
    found: [],
    output: '',
  });
}

/** An answer that is none, made of what was asked. */
function spoil(asked: string): { status: number; type: string; body: string } {
  const text = JSON.stringify(asked);
  const bodies = [
    asked,
    text,
    `<html>${asked}</html>`,
    `<Error><Code>${asked.slice(-40)}</Code><Message>${asked}</Message></Error>`,
    `{"error":${text}}`,
    `{"error":{"code":${text},"message":${text}}}`,
    `{"error":{"code":-32000,"message":${text},"data":${text}}}`,
    `{"error":"invalid_grant","error_description":${text}}`,
    `{"__type":${text},"message":${text}}`,
    `{"__type":"AccessDeniedException","message":${text}}`,
    `{"code":${text},"message":${text},"Message":${text}}`,
    `{"status":${text},"reason":1}`,
    `{"status":200,"auth_id":[${text}],"expiry":${text}}`,
    `{"status":200,"maxPrice":{"price":${text}}}`,
    `{"keys":${text}}`,
    `{"keys":[{"kty":${text},"kid":"k","crv":${text},"x":${text}}]}`,
    `{"access_token":[${text}],"expires_in":${text}}`,
    `{${text}`,
    `[${text}`,
    `${asked}\u0000`,
  ];
  return {
    status: [200, 200, 200, 400, 401, 403, 404, 500, 503][random.int(9)] ?? 200,
    type: ['application/json', 'text/html', 'application/x-amz-json-1.1'][random.int(3)] ?? '',
    body: bodies[random.int(bodies.length)] ?? '',
  };
}

/** A service that answers whatever it is asked with its head and body, spoiled. */
const echo = createHttpServer((request: IncomingMessage, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    answers += 1;
    const { authorization = '' } = request.headers;
    const basic = Buffer.from(authorization.replace(/^Basic /, ''), 'base64').toString();
    const head = request.rawHeaders.join(': ');
    const { status, type, body } = spoil(
      `${request.url ?? ''} ${head} ${basic} ${Buffer.concat(chunks).toString()}`,
    );
    response.writeHead(status, { 'Content-Type': type, 'Metadata-Flavor': 'Google' }).end(body);
  });
});

let url: string;
beforeAll(async () => {
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  url = `http://127.0.0.1:${(echo.address() as AddressInfo).port}`;
});
afterAll(async () => {
  vi.unstubAllEnvs();
  echo.closeAllConnections();
  echo.close();
  await once(echo, 'close');
  // what this file shows is shown of so many answers
  expect(answers).toBeGreaterThanOrEqual(200);
});

const signal = () => AbortSignal.timeout(20_000);

it('the auth webhook’s answers', async () => {
  const authorize = createWebhookAuthorizer({
    url,
    headers: { Authorization: new Secret(`Bearer ${secrets.webhook}`) },
    timeoutMs: 5_000,
    encodeState: () => '{}',
  });
  const caller: Caller = {
    headers: new Map([['Authorization', [`Bearer ${secrets.jwt}`]]]),
    authId: '',
    credentialHash: '',
    principal: anonymous,
  };
  for (let round = 0; round < 60; round += 1) {
    await authorize(caller, {} as SessionState, signal()).catch(note);
  }
  expectNoSecret('auth webhook');
});

it('a JWKS server’s answers', async () => {
  const issuer = {
    issuer: 'https://issuer.example',
    audience: 'signer',
    requiredScopes: [],
    algorithms: ['ES256'],
    principalClaim: 'sub',
  };
  const headers = new Map([['Authorization', [`Bearer ${secrets.jwt}`]]]);
  for (let round = 0; round < 40; round += 1) {
    const options = { nowMs: () => Date.now(), timeoutMs: 5_000 };
    const method = createJwtMethod([{ ...issuer, jwksUrl: `${url}/jwks` }], options);
    await Promise.resolve(method({ headers, certificate: undefined })).catch(note);
  }
  expectNoSecret('JWKS');
});

it('an RPC node’s answers', async () => {
  const { port } = new URL(url);
  const endpoint = createRpcEndpoint({
    name: 'node 1',
    url: `http://user:${secrets.rpcPassword}@127.0.0.1:${port}/v3/${secrets.rpcKey}`,
    timeoutMs: 5_000,
  });
  for (let round = 0; round < 50; round += 1) {
    const calls = [{ method: 'eth_chainId', params: [secrets.rpcKey] }];
    await endpoint.call(calls, signal()).then((results) => results, note);
  }
  expectNoSecret('RPC node');
});

it('the answers of AWS KMS and of its credential service', async () => {
  using folder = new Folder();
  const nothing = folder.write('none', '');
  vi.stubEnv('AWS_CONFIG_FILE', nothing);
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', nothing);
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  const context = {
    resolvePath: (path: string) => path,
    readSecret: (reference: string) => new Secret(reference),
    log: (...line: unknown[]) => void outputs.push(JSON.stringify(line)),
  };
  const config = awsKms.configSchema.parse({
    keyId: 'alias/payer',
    region: 'eu-central-1',
    endpoint: url,
    maxAttempts: 1,
  });
  const openKeys = (count: number): Promise<unknown> =>
    Promise.all(
      Array.from({ length: count }, () =>
        awsKms.open(config, context).then((key) => key.close(), note),
      ),
    );
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIAIOSFODNN7EXAMPLE');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', secrets.awsSecretKey);
  vi.stubEnv('AWS_SESSION_TOKEN', secrets.awsToken);
  await openKeys(40);
  vi.stubEnv('AWS_ACCESS_KEY_ID', undefined);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', undefined);
  vi.stubEnv('AWS_SESSION_TOKEN', undefined);
  vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', `${url}/credentials`);
  vi.stubEnv('AWS_CONTAINER_AUTHORIZATION_TOKEN', secrets.awsContainerToken);
  await openKeys(12);
  expectNoSecret('AWS');
}, 120_000);

it('the answers of Google’s token services', async () => {
  using folder = new Folder();
  const external = folder.write(
    'external.json',
    JSON.stringify({
      type: 'external_account',
      audience: '//iam.example/providers/p',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      token_url: `${url}/token`,
      client_id: 'client',
      client_secret: secrets.gcpClientSecret,
      credential_source: { file: folder.write('subject', secrets.gcpSubjectToken) },
    }),
  );
  const context = {
    resolvePath: (path: string) => path,
    readSecret: (reference: string) => new Secret(reference),
    log: (...line: unknown[]) => void outputs.push(JSON.stringify(line)),
  };
  const keyVersion = 'projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1';
  const config = gcpKms.configSchema.parse({ keyVersion, maxAttempts: 1 });
  vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', external);
  await Promise.all(
    Array.from({ length: 12 }, () => gcpKms.open(config, context).then((key) => key.close(), note)),
  );
  expectNoSecret('Google');
}, 120_000);

it('what Cloud KMS or its libraries say of a failure', () => {
  const asked = [
    `authorization: Bearer ${secrets.gcpToken}`,
    `{"access_token":"${secrets.gcpToken}","refresh_token":"${secrets.gcpRefresh}"}`,
    `client_secret=${secrets.gcpClientSecret}&refresh_token=${secrets.gcpRefresh}`,
    `token ${secrets.gcpToken} is not valid`,
    `assertion=${secrets.jwt}`,
    `subject_token: ${secrets.gcpSubjectToken}`,
  ];
  for (let round = 0; round < 60; round += 1) {
    const { body } = spoil(asked[random.int(asked.length)] ?? '');
    answers += 1;
    for (const code of [3, 7, 13, 14, 16]) {
      const failure = Object.assign(new Error(`${code} FAILED: ${body}`), { code, details: body });
      note(translateError(failure, 'asymmetricSign', 'the key'));
      note(translateCredentialsError(failure));
    }
  }
  expectNoSecret('Cloud KMS');
});

it('Redis’ answers', async () => {
  const forms: readonly ((asked: string) => string)[] = [
    (asked) => `-ERR unknown command '${asked}'\r\n`,
    (asked) => `-${asked}\r\n`,
    (asked) => `-WRONGPASS ${asked}\r\n`,
    (asked) => `+${asked}\r\n`,
    (asked) => `$${asked.length}\r\n${asked}\r\n`,
    (asked) => `$999\r\n${asked}`,
    (asked) => `*2\r\n+OK\r\n-${asked}\r\n`,
    (asked) => `:${asked}\r\n`,
    (asked) => `${asked}\r\n`,
    (asked) => `=${asked.length + 4}\r\ntxt:${asked}\r\n`,
  ];
  const ask = async (form: (asked: string) => string): Promise<void> => {
    const server = createServer((socket) => {
      socket.on('data', (asked: Buffer) => {
        answers += 1;
        const text = asked.toString().replaceAll('\r\n', ' ');
        socket.write(form(random.int(2) === 0 ? text : text.slice(random.int(20))));
        if (random.int(3) === 0) socket.end();
      });
      socket.on('error', () => socket.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const redis = await connectRedis({
      url: new Secret(`redis://signer:${secrets.redis}@127.0.0.1:${port}`),
      log: (...line) => outputs.push(JSON.stringify(line)),
    }).catch((error: unknown) => note(error));
    await redis?.run('return 1', ['k'], [secrets.redis]).catch((error: unknown) => {
      outputs.push(String(error));
    });
    await redis?.close();
    server.close();
  };
  await Promise.all(Array.from({ length: 4 }, () => forms.map(ask)).flat());
  expectNoSecret('Redis');
}, 120_000);
