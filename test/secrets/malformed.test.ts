import { stringify } from 'yaml';
import { describe, expect, it } from 'vitest';
import { newApiKey } from '../../src/auth/api-keys.ts';
import { requireSendable } from '../../src/outgoing/secret-headers.ts';
import { parseApiKeyFile } from '../../src/config/api-key-file.ts';
import { loadConfig } from '../../src/config/load.ts';
import { parseCases, parseRequest } from '../../src/config/policy-cases.ts';
import { parsePolicy } from '../../src/config/policy-file.ts';
import { readRedisUrl, readRpcUrls } from '../../src/config/secret-urls.ts';
import { readSecret } from '../../src/config/secrets.ts';
import { isSignerError } from '../../src/errors.ts';
import { framesOf, nameOf } from '../../src/foreign-error.ts';
import { Secret } from '../../src/secret.ts';
import { connectRedis } from '../../src/store/redis.ts';
import { Folder, run } from '../cli/cli.ts';
import { createRandom } from '../support/random.ts';
import { AnsweringServer } from './answering-server.ts';

/** What nobody may ever read in an output; by kind, as operators have them. */
const secrets: Readonly<Record<string, string>> = {
  PIN: '8317264950172',
  password: 'correct horse 93-1f-c7 battery',
  'API key': newApiKey().key,
  'webhook header': 'Bearer whsec_5f7QzT9mKx2LpR8vB3nW',
  'Redis URL': 'rediss://signer:R3dis-pa55-7Qx@127.0.0.1:6379/0',
  JWT: 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJnYXRld2F5LTEifQ.c2lnbmF0dXJlLTg4MTIzNDU2Nzg5',
  'RPC URL': 'https://user:rpc-pa55-Kq2@127.0.0.1:2/v3/4f1c9a8d7e6b5a4938271605',
  'PKCS#11 URI': 'pkcs11:token=t;object=o?pin-value=55081937264',
  'proxy URL': 'http://proxy:pr0xy-pa55-Zt8@127.0.0.1:3128',
};

/** The parts that give a secret away, also where it is cut or its line breaks are gone. */
const telltales = Object.values(secrets).flatMap((secret) =>
  secret.split(/[\s:@/?=.;]+/).filter((part) => part.length >= 7 && /\d/.test(part)),
);

function expectNoSecret(output: string, input: string): void {
  const found = telltales.filter((part) => output.includes(part));
  expect({ found, output: found.length > 0 ? output : '' }, input).toEqual({
    found: [],
    output: '',
  });
}

/** All that an operator could be shown of what was thrown: the message, and what the program prints of a defect. */
function describeThrown(error: unknown): string {
  if (!isSignerError(error)) return `${nameOf(error)}\n${framesOf(error) ?? ''}`;
  return `${error.message}\n${error.details ?? ''}\n${JSON.stringify(error)}`;
}

const random = createRandom('malformed inputs');

const pick = <Item>(items: readonly Item[]): Item => {
  const item = items[random.int(items.length)];
  if (item === undefined) throw new Error('there is nothing to pick from');
  return item;
};

/** Where a secret is pasted, and what is typed around it by mistake. */
const mistakes: readonly ((secret: string) => string)[] = [
  (secret) => secret,
  (secret) => `- ${secret}`,
  (secret) => `${secret}:`,
  (secret) => `${secret}: ${secret}`,
  (secret) => `"${secret}`,
  (secret) => `'${secret}`,
  (secret) => `{ ${secret}`,
  (secret) => `[${secret}`,
  (secret) => `{ ${secret} }`,
  (secret) => `? ${secret}`,
  (secret) => `? { a: ${secret} }\n: 1`,
  (secret) => `!${secret} a`,
  (secret) => `!!${secret} a`,
  (secret) => `*${secret}`,
  (secret) => `&${secret} *${secret}`,
  (secret) => `%${secret}`,
  (secret) => `key: ${secret}\n  ${secret}`,
  (secret) => `key: ${secret}\nkey: ${secret}`,
  (secret) => `\t${secret}: a`,
  (secret) => `@${secret}`,
  (secret) => `key: "\\${secret}"`,
  (secret) => `${secret}\n- id: ${secret}\n  hash: ${secret}`,
  (secret) => `--- ${secret}\n--- ${secret}`,
  (secret) => `? [${secret}]\n: ${secret}`,
];

/** A whole document with a secret in one of its values or names, or in between. */
const documents: Readonly<Record<string, string>> = {
  config: `server: { listen: 127.0.0.1:0, bodyLimitBytes: 65536 }
keys:
  - provider: pkcs11
    module: /usr/lib/module.so
    token: livepeer
    label: payer
    pin: file:pin
chain: { source: on-chain, rpcUrls: [http://127.0.0.1:8545], lowDeposit: 1 ether }
prices: { maxPrice: { live: 5 wei }, capabilities: [{ pipeline: llm, maxPrice: 5 wei }] }
auth:
  webhook: { url: http://127.0.0.1:2/hook, headers: { Authorization: env:HOOK } }
store: { kind: redis, url: env:REDIS }
`,
  policy: `default: allow
rules:
  - { id: cap, when: { tenant: [a], capability: [llm/x] }, limit: { totalEv: 5 wei } }
  - { id: day, window: { per: tenant, every: 24h, ev: 1 ether } }
`,
  keys: stringify([{ id: 'abcdefghijkl', hash: 'ab'.repeat(32), principal: 'gateway-1' }]),
  cases: `policy: policy.yaml
cases:
  - { name: a, request: { type: live, price: 5 wei }, spent: { day: { ev: 1 wei } }, expect: deny }
`,
};

function plant(document: string, secret: string): string {
  const lines = document.split('\n');
  const at = random.int(lines.length);
  const line = lines[at] ?? '';
  const indent = /^ */.exec(line)?.[0] ?? '';
  const mistake = pick(mistakes)(secret).replaceAll('\n', `\n${indent}`);
  const words = [...line.matchAll(/[A-Za-z0-9:./-]+/g)];
  switch (random.int(4)) {
    case 0: {
      const word = words[random.int(Math.max(1, words.length))];
      if (!word) return mistake;
      lines[at] = line.slice(0, word.index) + secret + line.slice(word.index + word[0].length);
      break;
    }
    case 1:
      lines.splice(at, 0, indent + mistake);
      break;
    case 2:
      lines[at] = indent + mistake;
      break;
    default:
      return mistake;
  }
  return lines.join('\n');
}

type Reader = (text: string, path: string) => unknown;

const readers: Readonly<Record<string, Reader>> = {
  policy: parsePolicy,
  keys: parseApiKeyFile,
  cases: (text, path) => [parseCases(text, path), parseRequest(text, path)],
};

describe('a secret that was pasted into the wrong place', () => {
  it('is in no message about 500 malformed files', async () => {
    using folder = new Folder();
    const names = Object.keys(documents);
    let refused = 0;
    for (let round = 0; round < 500; round += 1) {
      const kind = names[round % names.length] ?? '';
      const secret = pick(Object.values(secrets));
      const text = plant(documents[kind] ?? '', secret);
      const path = folder.write('file.yaml', text);
      const read = readers[kind] ?? ((_, file) => loadConfig(file, {}));
      try {
        await read(text, path);
      } catch (error) {
        refused += 1;
        expect(isSignerError(error), text).toBe(true);
        expectNoSecret(describeThrown(error), text);
      }
    }
    expect(refused).toBeGreaterThan(350);
  });

  it('is in no message about the value of an environment override', async () => {
    using folder = new Folder();
    const file = folder.write('signer.yaml', documents['config'] ?? '');
    const fields = [
      'SERVER__LISTEN',
      'KEYS__0__PIN',
      'KEYS__0__URI',
      'STORE__URL',
      'TICKETS__MAX_TICKET_EV',
    ];
    for (const [index, mistake] of mistakes.entries()) {
      for (const secret of Object.values(secrets)) {
        const field = fields[index % fields.length] ?? '';
        const environment = { [`LIVEPEER_HSM_SIGNER__${field}`]: mistake(secret) };
        const thrown: unknown = await loadConfig(file, environment).catch(
          (error: unknown) => error,
        );
        if (isSignerError(thrown)) expectNoSecret(describeThrown(thrown), field + mistake(secret));
      }
    }
  });

  it('is in nothing that the program prints, on either output', async () => {
    using folder = new Folder();
    for (const [kind, secret] of Object.entries(secrets)) {
      const text = (documents['config'] ?? '').replace(
        'keys:',
        `? { ${kind}: "${secret}" }\n: 1\nkeys:`,
      );
      const config = folder.write('signer.yaml', text);
      const { status, stdout, stderr } = await run(['config', 'check', '--config', config]);
      expect(status).toBe(2);
      expectNoSecret(stdout + stderr, text);
    }
  });
});

describe('a reference', () => {
  const options = {
    setting: 'store.password',
    resolvePath: (path: string) => path,
    createMissingFiles: false,
  };

  it('that is the secret itself is not repeated', () => {
    for (const secret of Object.values(secrets)) {
      for (const reference of [secret, `env:${secret}`]) {
        const read = (): unknown => readSecret(reference, options);
        expect(read).toThrow();
        expectNoSecret(describeThrown(thrownBy(read)), reference);
      }
    }
  });

  it('to a URL that is none does not show it', () => {
    using folder = new Folder();
    const broken = (url: string): string[] => [
      url.replace('//', ''),
      url.replace('127.0.0.1', '127.0.0.1:99999'),
      url.replace(/:[^:@]*@/, ':R3dis-pa55-7Qx%zz@'),
      `${url}\nrpc-pa55-Kq2`,
      url.replace('127.0.0.1', '[127.0.0.1'),
    ];
    for (const text of [
      ...broken(secrets['Redis URL'] ?? ''),
      ...broken(secrets['RPC URL'] ?? ''),
    ]) {
      const reference = `file:${folder.write('url', text)}`;
      for (const read of [
        () => readRedisUrl(reference, (path) => path),
        () => readRpcUrls([reference], (path) => path),
      ]) {
        expectNoSecret(describeThrown(thrownBy(read)), text);
      }
      expect(() => readRedisUrl(reference, (path) => path), text).toThrow('store.url: what file:');
    }
  });

  it.each([
    ['a line break', 'Bearer whsec_5f7QzT9mKx2LpR8vB3nW\nwhsec_5f7QzT9mKx2LpR8vB3nW'],
    ['a NUL', 'whsec_5f7QzT9mKx2LpR8vB3nW\0'],
    ['a letter beyond ISO 8859-1', 'whsec_5f7QzT9mKx2LpR8vB3nW\u{20ac}'],
  ])('to a webhook header with %s is refused at the start, by the header’s name', (_, value) => {
    const thrown = thrownBy(() =>
      requireSendable({ Authorization: new Secret(value) }, 'auth.webhook.headers'),
    );
    expect(thrown).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('auth.webhook.headers.Authorization: ') as string,
    });
    expectNoSecret(describeThrown(thrown), value);
  });

  it.each(['Content-Length', 'transfer-encoding', 'Connection', 'Expect', 'a b', ''])(
    'for a header called "%s" is refused at the start',
    (name) => {
      expect(() => requireSendable({ [name]: 'x' }, 'auth.webhook.headers')).toThrow(
        'auth.webhook.headers',
      );
    },
  );
});

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}

it('what Redis repeats of a command with a password is not in the log', async () => {
  const password = 'R3dis-pa55-7Qx';
  await using server = await AnsweringServer.start(
    `-ERR unknown command 'AUTH', with args beginning with: 'signer' '${password}'\r\n`,
  );
  const lines: string[] = [];
  const redis = await connectRedis({
    url: new Secret(`redis://signer:${password}@127.0.0.1:${server.port}`),
    log: (level, message, fields) => lines.push(JSON.stringify({ level, message, ...fields })),
  });
  const failure: unknown = await redis.run('return 1', [], []).catch((error: unknown) => error);
  await redis.close();
  expect(lines.join('\n')).toContain('Redis answered ERR');
  expectNoSecret(lines.join('\n') + String(failure), 'a server that repeats what it was sent');
});
