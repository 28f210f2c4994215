import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseApiKeyFile } from '../../src/config/api-key-file.ts';
import { loadConfig } from '../../src/config/load.ts';
import { Cli, Folder, devConfig, root } from '../cli/cli.ts';

async function problemsOf(fields: object): Promise<string[]> {
  using folder = new Folder();
  const text = `${devConfig}${Object.entries(fields)
    .map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`)
    .join('')}`;
  const error: unknown = await loadConfig(folder.write('signer.yaml', text), {}).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error === undefined) return [];
  if (!(error instanceof Error)) throw new Error('expected an error');
  return error.message
    .split('\n')
    .filter((line) => line.startsWith('  '))
    .map((line) => line.trim());
}

const issuer = { issuer: 'i', audience: 'a', jwksUrl: 'https://issuer.example/keys' };
const tls = { cert: 'cert.pem', key: 'key.pem' };
const mtls = [{ subject: 'CN=a', principal: 'p' }];

describe('the configuration of authentication', () => {
  it.each([
    { fault: 'no issuer', fields: { auth: { jwt: [] } }, says: 'auth.jwt: expected an issuer' },
    {
      fault: 'an issuer twice',
      fields: { auth: { jwt: [issuer, issuer] } },
      says: 'auth.jwt: expected each issuer once',
    },
    {
      fault: 'keys fetched without TLS',
      fields: { auth: { jwt: [{ ...issuer, jwksUrl: 'http://issuer.example/keys' }] } },
      says: 'auth.jwt.0.jwksUrl: expected an https URL; http is for this machine only',
    },
    {
      fault: 'a password in the URL',
      fields: { auth: { jwt: [{ ...issuer, jwksUrl: 'https://a:b@issuer.example/keys' }] } },
      says: 'auth.jwt.0.jwksUrl: expected a URL without user name and password',
    },
    {
      fault: 'a symmetric algorithm',
      fields: { auth: { jwt: [{ ...issuer, algorithms: ['HS256'] }] } },
      says: 'auth.jwt.0.algorithms.0: ',
    },
    {
      fault: 'no algorithm',
      fields: { auth: { jwt: [{ ...issuer, algorithms: [] }] } },
      says: 'auth.jwt.0.algorithms: expected an algorithm',
    },
    {
      fault: 'two scopes in one',
      fields: { auth: { jwt: [{ ...issuer, requiredScopes: ['a b'] }] } },
      says: 'auth.jwt.0.requiredScopes.0: expected a scope',
    },
    {
      fault: 'certificates that nobody vouches for',
      fields: { server: { tls }, auth: { mtls } },
      says: 'auth.mtls: needs server.tls.clientCa, which vouches for certificates',
    },
    {
      fault: 'certificates of nobody',
      fields: { server: { tls: { ...tls, clientCa: 'ca.pem' } } },
      says: 'server.tls.clientCa: needs auth.mtls, which says whose certificates they are',
    },
    {
      fault: 'a certificate by two names',
      fields: {
        server: { tls: { ...tls, clientCa: 'ca.pem' } },
        auth: { mtls: [{ subject: 'CN=a', san: 'DNS:a', principal: 'p' }] },
      },
      says: 'auth.mtls.0: expected either subject or san',
    },
    {
      fault: 'a certificate by no kind of name',
      fields: {
        server: { tls: { ...tls, clientCa: 'ca.pem' } },
        auth: { mtls: [{ san: 'gw.acme.example', principal: 'p' }] },
      },
      says: 'auth.mtls.0.san: expected DNS:NAME or URI:NAME',
    },
    {
      fault: 'protection without a method',
      fields: { auth: { protectOrchestratorInfo: true } },
      says: 'auth.protectOrchestratorInfo: needs one of apiKeys, jwt, mtls',
    },
    {
      fault: 'protection of discovery without a method',
      fields: { auth: { protectDiscovery: true } },
      says: 'auth.protectDiscovery: needs one of apiKeys, jwt, mtls',
    },
  ])('is refused for $fault', async ({ fields, says }) => {
    const problems = await problemsOf(fields);
    expect(problems.filter((problem) => problem.startsWith(says))).toHaveLength(1);
  });

  it('takes all methods at once, and keys of this machine without TLS', async () => {
    const fields = {
      server: { tls: { ...tls, clientCa: 'ca.pem' } },
      auth: {
        apiKeys: { file: 'api-keys.yaml' },
        jwt: [issuer, { ...issuer, issuer: 'j', jwksUrl: 'http://127.0.0.1:8080/keys' }],
        mtls,
        protectOrchestratorInfo: true,
      },
    };
    expect(await problemsOf(fields)).toEqual([]);
  });
});

describe('a public address', () => {
  it.each([
    { method: 'API keys', auth: { apiKeys: { file: 'api-keys.yaml' } } },
    { method: 'tokens', auth: { jwt: [issuer] } },
  ])('may be listened on with $method', async ({ auth }) => {
    using folder = new Folder();
    folder.write('api-keys.yaml', '[]');
    const config = folder.write('signer.yaml', `${devConfig}auth: ${JSON.stringify(auth)}\n`);
    const cli = new Cli(['serve', '--config', config, '--listen', '0.0.0.0:0']);
    try {
      const url = new URL(await cli.listening());
      const answer = await fetch(`http://127.0.0.1:${url.port}/generate-live-payment`, {
        method: 'POST',
      });
      expect(answer.status).toBe(401);
    } finally {
      cli.child.kill('SIGTERM');
      await cli.ended();
    }
  });
});

describe('docs/authentication.md', () => {
  const text = readFileSync(join(root, 'docs/authentication.md'), 'utf8');
  const examples = [...text.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, example = '']) => example);

  it('shows a file of API keys with every field there is', () => {
    const [example = ''] = examples;
    const [key, ...others] = parseApiKeyFile(example, 'the example').values();
    expect(others).toEqual([]);
    expect(key?.principal).toMatchObject({ id: 'gateway-eu-1', tenant: 'acme' });
    const shown = [...example.matchAll(/^(?:- | {2})([a-z]+):/gm)].map(([, field]) => field);
    const described = [...text.matchAll(/^\| `([a-z]+)` \| /gm)].map(([, field]) => field);
    expect(described).toEqual(shown);
  });

  it('shows configurations that are taken', async () => {
    expect(examples).toHaveLength(4);
    for (const example of examples.slice(1)) {
      using folder = new Folder();
      const file = folder.write('signer.yaml', `${devConfig}${example}`);
      await expect(loadConfig(file, {})).resolves.toHaveProperty('settings.auth');
    }
  });
});
