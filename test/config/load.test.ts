import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkConfig } from '../../src/cli/check-config.ts';
import { blockedPortOf } from '../../src/config/blocked-ports.ts';
import { describeConfig } from '../../src/config/json-schema.ts';
import { loadConfig } from '../../src/config/load.ts';
import { ConfigError } from '../../src/errors.ts';
import { Folder, devConfig, root, run } from '../cli/cli.ts';

/** The message and, apart from it, the indented problem lines. */
async function refusalOf(
  text: string,
  environment: Record<string, string> = {},
): Promise<{ message: string; problems: string[] }> {
  using folder = new Folder();
  const file = folder.write('signer.yaml', text);
  const error = await loadConfig(file, environment).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof ConfigError))
    throw new Error(`not refused as a ConfigError: ${String(error)}`);
  expect(error.code).toBe('CONFIG_INVALID');
  const problems = error.message.split('\n').filter((line) => line.startsWith('  '));
  return { message: error.message, problems: problems.map((line) => line.trim()) };
}

async function settingsOf(text: string, environment: Record<string, string> = {}) {
  using folder = new Folder();
  return (await loadConfig(folder.write('signer.yaml', text), environment)).settings;
}

const broken = `sever: {}
server:
  listen: 1.2.3.4:99999
  bodyLimitBytes: 3
  tls: { cert: a.pem }
  headersTimeoutMs: 0
keys:
  - provider: local-keystore
    path: keystore
    password: hunter2
    colour: red
chain:
  source: static
  l1Block: 1.5
  round: -1
  roundBlockHash: 0x1234
  deposit: 0.5
  reserve: 0.5 wei
billing: { rule: mine }
tickets: { maxTicketEv: 5 eth, depositMultiplier: 0, maxTickets: 101 }
prices:
  maxPrice: { lv2v: 1200 }
  capabilities: [{ pipeline: text-to-cheese, maxPrice: 1 wei }]
session: { seal: wax }
auth:
  webhook:
    url: ftp://example.org
    headers: { Authorization: Bearer hunter2, X-Api-Key: hunter2, X-Tenant: plain }
  trustedProxies: [10.0.0.0/33, localhost]
store: { kind: memcached }
audit: { path: '' }
traces: { sampleRatio: 2 }
log: { level: chatty }
`;

const amount = 'an amount with its unit, such as "0.5 ether", "30 gwei" or "1200 wei"';

describe('a configuration with many faults', () => {
  it('is answered with one line for each, naming field and remedy', async () => {
    const { problems } = await refusalOf(broken);
    expect(problems.toSorted()).toEqual(
      [
        'sever: unknown field; did you mean server?',
        'server.listen: expected HOST:PORT with a port up to 65535',
        'server.bodyLimitBytes: expected at least 1024',
        'server.tls.key: missing; expected text',
        'server.headersTimeoutMs: expected more than 0',
        'keys.0.password: expected a reference, env:NAME or file:PATH, not the password itself',
        'keys.0.colour: unknown field; there are path, address, password, emptyPassword',
        'chain.l1Block: expected a whole number',
        'chain.round: expected at least 0',
        'chain.roundBlockHash: expected 0x and 64 hex digits',
        `chain.deposit: expected ${amount}`,
        'chain.reserve: expected whole wei',
        'billing.rule: expected "keep-one-ticket" or "upstream"',
        `tickets.maxTicketEv: expected ${amount}`,
        'tickets.depositMultiplier: expected at least 1',
        'tickets.maxTickets: expected 1 to 100',
        'prices.maxPrice.lv2v: expected a price, such as "1200 wei", "3.6 usd/hour" or, for requests, "0.05 usd"',
        'prices.capabilities.0.pipeline: there is no such pipeline; there are text-to-image, image-to-image, image-to-video, upscale, audio-to-text, segment-anything-2, llm, image-to-text, live-video-to-video, text-to-speech, byoc',
        'session.seal: expected "delegated" or "key"',
        'auth.webhook.url: expected an http or https URL',
        'auth.webhook.headers.Authorization: expected a reference, env:NAME or file:PATH, not the credential itself',
        'auth.webhook.headers.X-Api-Key: expected a reference, env:NAME or file:PATH, not the credential itself',
        'auth.trustedProxies.0: expected an IP address, or a network such as 10.0.0.0/8',
        'auth.trustedProxies.1: expected an IP address, or a network such as 10.0.0.0/8',
        'store.kind: expected "embedded" or "redis"',
        'audit.path: expected at least 1 character',
        'traces.otlp: missing; expected fields, such as endpoint and headers',
        'traces.sampleRatio: expected at most 1',
        'log.level: expected "debug", "info", "warn" or "error"',
      ].toSorted(),
    );
  });

  it('never repeats a secret that was written inline', async () => {
    expect((await refusalOf(broken)).message).not.toContain('hunter2');
  });

  it('reaches the operator as it is, with exit code 2', async () => {
    using folder = new Folder();
    const file = folder.write('signer.yaml', broken);
    const { status, stdout, stderr } = await run(['config', 'check', '--config', file]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(`${file} is not a valid configuration:`);
    expect(stderr).toContain('\n  tickets.maxTickets: expected 1 to 100\n');
    expect(stderr).toContain('docs/configuration.md');
    expect(stderr).toContain('[CONFIG_INVALID]');
  });
});

describe('single faults', () => {
  it.each([
    { fault: 'an empty file', text: '', problems: ['keys: missing; expected a list'] },
    {
      fault: 'text only',
      text: 'hello',
      problems: ['the document: expected fields, such as keys and chain'],
    },
    { fault: 'keys not in a list', text: 'keys: {}', problems: ['keys: expected a list'] },
    {
      fault: 'no key',
      text: 'keys: []\nchain:'.concat(devConfig.split('chain:')[1] ?? ''),
      problems: ['keys: expected a key'],
    },
    {
      fault: 'no provider',
      text: devConfig.replace('provider: local-keystore\n    ', ''),
      problems: ['keys.0.provider: missing; expected text'],
    },
    {
      fault: 'a secret in the URL of the webhook',
      text: `${devConfig}auth: { webhook: { url: "https://user:hunter2@example.org/" } }`,
      problems: [
        'auth.webhook.url: expected a URL without user name and password: send credentials by `headers`',
      ],
    },
    {
      fault: 'a webhook without a URL',
      text: `${devConfig}auth: { webhook: { url: example.org/authorize } }`,
      problems: ['auth.webhook.url: expected an http or https URL'],
    },
    {
      fault: 'text where a section belongs',
      text: `${devConfig}policy: policy.yaml\nlog: debug\nbyoc: true\nstore: redis\n`,
      problems: [
        'policy: expected fields, such as file and forks',
        'log: expected fields, such as level',
        'byoc: expected fields, such as enabled',
        'store: expected fields, such as kind',
      ],
    },
    {
      fault: 'a number in quotes, and text without',
      text: `${devConfig.replace('path: keystore', 'path: 0123')}server: { headersTimeoutMs: "5000", workers: two, keepAliveTimeoutMs: 5s }\n`,
      problems: [
        'keys.0.path: expected text: write it in quotes',
        'server.headersTimeoutMs: expected a number: write it without quotes',
        'server.workers: expected a number',
        'server.keepAliveTimeoutMs: expected a number',
      ],
    },
    {
      fault: 'a secret that looks like a number',
      text: `${devConfig.replace('file:password', '1234')}admin: { token: 1234567890123456 }\n`,
      problems: [
        'keys.0.password: expected a reference, env:NAME or file:PATH, not the password itself',
        'admin.token: expected a reference, env:NAME or file:PATH, not the secret itself',
      ],
    },
    {
      fault: 'a broker with a port that nobody has',
      text: `${devConfig}audit: { path: a }\nevents: { kafka: { topic: t, brokers: [a:0, a:99999, a:9092] } }`,
      problems: [
        'events.kafka.brokers.0: expected a port, 1 to 65535',
        'events.kafka.brokers.1: expected a port, 1 to 65535',
      ],
    },
    {
      fault: 'headers that may take longer than the request they belong to',
      text: `${devConfig}server: { headersTimeoutMs: 5000, receiveTimeoutMs: 4999 }`,
      problems: [
        'server.receiveTimeoutMs: expected at least headersTimeoutMs: headers are part of the request',
      ],
    },
  ])('$fault', async ({ text, problems }) => {
    expect((await refusalOf(text)).problems).toEqual(expect.arrayContaining(problems));
  });

  it('names a provider that nobody knows and those there are', async () => {
    const { problems } = await refusalOf(devConfig.replace('local-keystore', 'vault'));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(
      /^keys\.0\.provider: there is no key provider "?vault"?.*local-keystore, pkcs11/,
    );
  });
});

describe('a field that nobody knows', () => {
  const chain = devConfig.split('chain:')[1] ?? '';
  const withKeys = (keys: string): string => `keys:\n  - { ${keys} }\nchain:${chain}`;

  it.each([
    {
      what: 'is told what was probably meant',
      text: `${devConfig}server: { listn: 1, body_limit_bytes: 2048, lameDuck: 1 }\n`,
      problems: [
        'server.listn: unknown field; did you mean listen?',
        'server.body_limit_bytes: unknown field; did you mean bodyLimitBytes?',
        'server.lameDuck: unknown field; did you mean lameDuckMs?',
      ],
    },
    {
      what: 'is told what there is, once, where that is little',
      text: `${devConfig}session: { wax: 1, colour: red, seals: key }\n`,
      problems: [
        'session.wax: unknown field; there are seal, clockSkewMs, fields, ticketNonces, manifestId',
        'session.colour: unknown field',
        'session.seals: unknown field; did you mean seal?',
      ],
    },
    {
      what: 'is not told of a long list',
      text: `${devConfig}server: { colour: red }\nsize: 1\n`,
      problems: ['server.colour: unknown field', 'size: unknown field'],
    },
    {
      what: 'that belongs somewhere else is told where',
      text: `${devConfig}maxTicketEv: 1 wei\nlisten: 8000\n`,
      problems: [
        'maxTicketEv: unknown field here; did you mean tickets.maxTicketEv?',
        'listen: unknown field here; did you mean server.listen or admin.listen?',
      ],
    },
    {
      what: 'of static chain facts is told what was meant, and what belongs to the other source',
      text: `${devConfig}  rpcUrls: []\n  refreshinterval: 1\n  withdrawround: 1\n  colour: red\n`,
      problems: [
        'chain.rpcUrls: unknown field; rpcUrls belongs to source: on-chain, and source is static here',
        'chain.refreshinterval: unknown field; refreshIntervalMs belongs to source: on-chain, and source is static here',
        'chain.withdrawround: unknown field; did you mean withdrawRound?',
        'chain.colour: unknown field',
      ],
    },
    {
      what: 'of a chain that is read is told what belongs to static facts',
      text: `keys:${devConfig.split('keys:')[1]?.split('chain:')[0] ?? ''}chain: { source: on-chain, rpcUrls: [http://127.0.0.1:8545], deposit: 1 ether, rpcurl: x }\n`,
      problems: [
        'chain.deposit: unknown field; deposit belongs to source: static, and source is on-chain here',
        'chain.rpcurl: unknown field; did you mean rpcUrls?',
      ],
    },
    {
      what: 'of a store is told what belongs to the other kind',
      text: `${devConfig}store: { url: redis://127.0.0.1:6379 }\n`,
      problems: ['store.kind: missing; expected "embedded" or "redis"'],
    },
    {
      what: 'of an embedded store is told what belongs to Redis',
      text: `${devConfig}store: { kind: embedded, url: redis://127.0.0.1:6379 }\n`,
      problems: ['store.url: unknown field; url belongs to kind: redis, and kind is embedded here'],
    },
    {
      what: 'of a key is told what was meant, by the plugin that has it',
      text: withKeys('provider: pkcs11, module: /a.so, tokne: t, token: t, label: l, colour: red'),
      problems: [
        'keys.0.tokne: unknown field; did you mean token?',
        'keys.0.colour: unknown field',
      ],
    },
    {
      what: 'in a list is told so too',
      text: `${devConfig}prices: { capabilities: [{ pipeline: llm, modle: a, maxPrice: 1 wei }] }\n`,
      problems: ['prices.capabilities.0.modle: unknown field; did you mean model?'],
    },
  ])('$what', async ({ text, problems }) => {
    expect((await refusalOf(text)).problems).toEqual(problems);
  });

  it('is never told of by a name that may be a secret', async () => {
    const { problems } = await refusalOf(
      `${devConfig}session: { "seal-4f1c9a8d7e6b5a49": 1, "seal-5f1c9a8d7e6b5a49": 1 }\n`,
    );
    expect(problems).toEqual([
      'session.(a name that is not shown): unknown field; did you mean seal?',
    ]);
  });
});

describe('a port that fetch refuses', () => {
  it.each([
    [6000, true],
    [1, true],
    [10080, true],
    [2, false],
    [8545, false],
    [4318, false],
  ])('%i is refused wherever fetch would be told to ask it: %s', async (port, isRefused) => {
    const url = `http://127.0.0.1:${port}/a`;
    const text = `${devConfig.split('chain:')[0] ?? ''}chain: { source: on-chain, rpcUrls: ["${url}"] }
auth: { webhook: { url: "${url}" }, jwt: [{ issuer: a, audience: b, jwksUrl: "${url}" }] }
audit: { path: audit }
events: { webhook: { url: "${url}" } }
traces: { otlp: { endpoint: "${url}" } }
nothing: else
`;
    const { problems } = await refusalOf(text);
    const settings = [
      'chain.rpcUrls.0',
      'auth.webhook.url',
      'auth.jwt.0.jwksUrl',
      'events.webhook.url',
      'traces.otlp.endpoint',
    ];
    const says = `HTTP clients refuse port ${port}, which is another protocol's: expected another port`;
    expect(problems.toSorted()).toEqual(
      [
        'nothing: unknown field',
        ...(isRefused ? settings.map((setting) => `${setting}: ${says}`) : []),
      ].toSorted(),
    );
  });

  it('is one that this Node refuses, and no other is', async () => {
    const dispatcher = {
      dispatch: () => {
        throw new Error('asked');
      },
    };
    for (let port = 0; port < 11_000; port += 1) {
      const url = `http://127.0.0.1:${port}/`;
      await expect(fetch(url, { dispatcher } as never), url).rejects.toMatchObject({
        cause: { message: blockedPortOf(url) === undefined ? 'asked' : 'bad port' },
      });
    }
  });
});

describe('what is not YAML', () => {
  it.each([
    {
      fault: 'a key given twice',
      text: `${devConfig}keys: []\n`,
      says: 'line 13, column 1: a field is given twice',
    },
    {
      fault: 'a key given twice, in quotes and within others',
      text: `log: { level: info, "level": warn }\n`,
      says: 'line 1, column 21: a field is given twice',
    },
    {
      fault: 'a tab',
      text: 'keys:\n\t- provider: a\n',
      says: 'line 2, column 1: a tab is used to indent',
    },
    { fault: 'an open bracket', text: 'keys: [\nchain: 1\n', says: 'line 2' },
    {
      fault: 'two documents',
      text: `${devConfig}---\na: 1\n`,
      says: 'a second document begins (---)',
    },
    {
      fault: 'a tag that YAML does not have',
      text: `${devConfig}log: !secret x\n`,
      says: 'a tag (!) or a value is not of a known kind',
    },
    {
      fault: 'an alias without an anchor',
      text: 'keys: *other\n',
      says: "its aliases (*) can't be resolved",
    },
  ])('$fault', async ({ text, says }) => {
    const { message } = await refusalOf(text);
    expect(message).toContain('signer.yaml is not valid YAML');
    expect(message).toContain(says);
  });

  it('has its first hundred problems listed, and the number of the others', async () => {
    const repeated = Array.from({ length: 103 }, () => 'a: 1\n').join('');
    const { message } = await refusalOf(repeated);
    expect(message).toContain('  line 101, column 1: a field is given twice');
    expect(message).toContain('\n  … and 2 more');
    expect(message).not.toContain('line 102');
  });

  it('takes a hash without quotes as text', async () => {
    const { chain } = await settingsOf(devConfig.replaceAll('"', ''));
    expect(chain).toHaveProperty(
      'roundBlockHash',
      '0x7624778dedc75f8b322b9fa1632a610d40b85e106c7d9bf0e743a9ce291b9c6f',
    );
  });
});

it('says which field is to tell what kind of section it is, where that is missing', async () => {
  const { problems } = await refusalOf(devConfig.replace('source: static', ''));
  expect(problems).toContain('chain.source: missing; expected "static" or "on-chain"');
});

describe('a file that can’t be read', () => {
  it.each([
    { file: 'absent.yaml', says: "absent.yaml can't be read: it does not exist" },
    { file: '.', says: "can't be read: it is a folder" },
  ])('$file', async ({ file, says }) => {
    using folder = new Folder();
    await expect(loadConfig(join(folder.path, file), {})).rejects.toThrow(says);
  });
});

describe('amounts', () => {
  it.each([
    ['1 ether', 10n ** 18n],
    ['0.000000000000000001 ether', 1n],
    ['30 gwei', 30_000_000_000n],
    [
      '115792089237316195423570985008687907853269984665640564039457 wei',
      115792089237316195423570985008687907853269984665640564039457n,
    ],
    ['  7wei ', 7n],
  ])('%s is exact', async (text, wei) => {
    const { chain } = await settingsOf(
      devConfig.replace('deposit: 0.5 ether', `deposit: "${text}"`),
    );
    expect(chain).toHaveProperty('deposit', wei);
  });

  it.each([
    '1',
    '1e18 wei',
    '-1 wei',
    '1,5 ether',
    '1 Ether',
    '1 eth',
    'ether',
    '.5 ether',
    '0x1 wei',
  ])('"%s" is refused with an example of what is right', async (text) => {
    const { problems } = await refusalOf(
      devConfig.replace('deposit: 0.5 ether', `deposit: "${text}"`),
    );
    expect(problems).toEqual([`chain.deposit: expected ${amount}`]);
  });
});

describe('where it listens', () => {
  it.each([
    ['127.0.0.1:8000', { host: '127.0.0.1', port: 8000 }],
    ['localhost:0', { host: 'localhost', port: 0 }],
    ['":8000"', { host: '127.0.0.1', port: 8000 }],
    ['8000', { host: '127.0.0.1', port: 8000 }],
    ['"[::1]:8000"', { host: '::1', port: 8000 }],
  ])('%s', async (text, listen) => {
    const { server } = await settingsOf(`${devConfig}server: { listen: ${text} }`);
    expect(server.listen).toEqual(listen);
  });

  it.each([
    'localhost',
    '127.0.0.1:65536',
    '::1:8000',
    'http://127.0.0.1:8000',
    '"127.0.0.1:"',
    'null',
  ])('%s is refused', async (text) => {
    const { problems } = await refusalOf(`${devConfig}server:\n  listen: ${text}\n`);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain('server.listen: expected HOST:PORT');
  });
});

describe('environment overrides', () => {
  it('reach nested fields, camel case, list items and sections that the file leaves out', async () => {
    using folder = new Folder();
    const { settings, keys, resolvePath } = await loadConfig(
      folder.write('signer.yaml', devConfig),
      {
        LIVEPEER_HSM_SIGNER__SERVER__LISTEN: '127.0.0.1:8000',
        LIVEPEER_HSM_SIGNER__SERVER__BODY_LIMIT_BYTES: '2048',
        LIVEPEER_HSM_SIGNER__CHAIN__L1_BLOCK: '7',
        LIVEPEER_HSM_SIGNER__CHAIN__ROUND_BLOCK_HASH: `0x${'AB'.repeat(32)}`,
        LIVEPEER_HSM_SIGNER__KEYS__0__PATH: 'elsewhere',
        LIVEPEER_HSM_SIGNER__keys__0__password: 'env:PASSWORD',
        LIVEPEER_HSM_SIGNER__AUTH__TRUSTED_PROXIES__0: '10.0.0.0/8',
        LIVEPEER_HSM_SIGNER__AUTH__TRUSTED_PROXIES__1: '::1',
        LIVEPEER_HSM_SIGNER__AUTH__WEBHOOK__URL: 'https://example.org/authorize',
        LIVEPEER_HSM_SIGNER__AUTH__WEBHOOK__HEADERS: '{ X-Api-Key: env:KEY }',
        LIVEPEER_HSM_SIGNER__PRICES__MAX_PRICE__LV2V: '1200.5 wei',
        UNRELATED: '1',
      },
    );
    expect(settings.server.listen).toEqual({ host: '127.0.0.1', port: 8000 });
    expect(settings.server.bodyLimitBytes).toBe(2048);
    expect(settings.chain).toMatchObject({
      l1Block: 7n,
      roundBlockHash: `0x${'ab'.repeat(32)}`,
    });
    expect(settings.auth.trustedProxies).toEqual(['10.0.0.0/8', '::1']);
    expect(settings.auth.webhook).toMatchObject({
      url: 'https://example.org/authorize',
      headers: { 'X-Api-Key': 'env:KEY' },
    });
    expect(settings.prices.maxPrice.lv2v).toEqual({ numerator: 2401n, denominator: 2n });
    expect(keys[0].section).toEqual({ path: 'elsewhere', password: 'env:PASSWORD' });
    expect(resolvePath('elsewhere')).toBe(join(folder.path, 'elsewhere'));
  });

  it('of a whole section come before those of its fields', async () => {
    const { server } = await settingsOf(devConfig, {
      LIVEPEER_HSM_SIGNER__SERVER__LISTEN: '1111',
      LIVEPEER_HSM_SIGNER__SERVER: '{ listen: 2222, bodyLimitBytes: 4096 }',
    });
    expect(server).toMatchObject({ listen: { port: 1111 }, bodyLimitBytes: 4096 });
  });

  it.each([
    {
      fault: 'a field that does not exist',
      name: 'LIVEPEER_HSM_SIGNER__SERVER__BODY_LIMIT',
      value: '1',
      says: [
        'server.bodyLimit: unknown field; did you mean bodyLimitBytes?',
        'overridden by LIVEPEER_HSM_SIGNER__SERVER__BODY_LIMIT',
      ],
    },
    {
      fault: 'a value that does not fit',
      name: 'LIVEPEER_HSM_SIGNER__LOG__LEVEL',
      value: 'loud',
      says: ['log.level:', 'overridden by LIVEPEER_HSM_SIGNER__LOG__LEVEL'],
    },
    {
      fault: 'an empty value',
      name: 'LIVEPEER_HSM_SIGNER__SERVER__LISTEN',
      value: '',
      says: [
        'server.listen: expected HOST:PORT',
        'overridden by LIVEPEER_HSM_SIGNER__SERVER__LISTEN',
      ],
    },
    {
      fault: 'a value that is not YAML',
      name: 'LIVEPEER_HSM_SIGNER__SERVER__LISTEN',
      value: '[',
      says: ['environment variable LIVEPEER_HSM_SIGNER__SERVER__LISTEN is not valid YAML'],
    },
    {
      fault: 'a list item beyond the end',
      name: 'LIVEPEER_HSM_SIGNER__KEYS__3__PATH',
      value: 'a',
      says: ['LIVEPEER_HSM_SIGNER__KEYS__3__PATH: "3" is neither one of the list\'s 1 items'],
    },
    {
      fault: 'a list item without a number',
      name: 'LIVEPEER_HSM_SIGNER__KEYS__FIRST__PATH',
      value: 'a',
      says: ['LIVEPEER_HSM_SIGNER__KEYS__FIRST__PATH: "first" is neither'],
    },
    {
      fault: 'nothing after the prefix',
      name: 'LIVEPEER_HSM_SIGNER__',
      value: 'a',
      says: ['unknown field'],
    },
  ])('are refused by name for $fault', async ({ name, value, says }) => {
    const { message } = await refusalOf(devConfig, { [name]: value });
    for (const text of says) expect(message).toContain(text);
  });

  it('are not named where --listen is what is wrong', async () => {
    using folder = new Folder();
    const file = folder.write('signer.yaml', devConfig);
    await expect(loadConfig(file, {}, 'here')).rejects.toThrow(
      `${file} (overridden by --listen) is not a valid configuration:\n  server.listen: expected HOST:PORT`,
    );
    const { settings } = await loadConfig(file, {}, '127.0.0.1:8001');
    expect(settings.server.listen.port).toBe(8001);
  });

  it('are not what Kubernetes sets for a service named livepeer-hsm-signer', async () => {
    const { server } = await settingsOf(devConfig, {
      LIVEPEER_HSM_SIGNER_PORT: 'tcp://10.0.0.1:7936',
      LIVEPEER_HSM_SIGNER_SERVICE_HOST: '10.0.0.1',
    });
    expect(server.listen).toEqual({ host: '127.0.0.1', port: 7936 });
  });

  it('override the file for the program itself', async () => {
    using folder = new Folder();
    const file = folder.write('signer.yaml', devConfig);
    const { status, stdout } = await run(['config', 'check', '--config', file], {
      LIVEPEER_HSM_SIGNER__SERVER__LISTEN: '127.0.0.1:8000',
    });
    expect(status).toBe(0);
    expect(stdout).toBe(
      `${file} is valid: key from local-keystore, chain facts static, listening on 127.0.0.1:8000\n`,
    );
  });
});

describe('the configurations that come with the product', () => {
  const folder = join(root, 'config');
  const files = readdirSync(folder).filter(
    (name) => name.endsWith('.yaml') && name !== 'policy.yaml',
  );

  it('are there for each kind of operator', () => {
    expect(files).toEqual(
      expect.arrayContaining([
        'aws-kms.yaml',
        'dev.yaml',
        'gcp-kms.yaml',
        'pkcs11.yaml',
        'softhsm.yaml',
      ]),
    );
  });

  it.each(['aws-kms', 'gcp-kms', 'pkcs11'])(
    '`config check` accepts %s.yaml, whose chain facts are on-chain, and so does it with all comments turned on',
    async (provider) => {
      using filled = new Folder();
      const file = join(folder, `${provider}.yaml`);
      const text = readFileSync(file, 'utf8');
      const commented = /^( *)# ((?: *)(?:- )?[A-Za-z0-9_]+:(?: .*)?)$/gm;
      const settings = text.replace(commented, '$1$2');
      expect(settings).not.toBe(text);
      filled.write('policy.yaml', 'default: deny');
      filled.write('api-keys.yaml', '[]');
      for (const path of [file, filled.write('signer.yaml', settings)]) {
        const { status, stdout, stderr } = await run(['config', 'check', '--config', path], {
          REDIS_URL: 'redis://127.0.0.1:6379',
          ...(provider === 'pkcs11' && {
            HSM_PIN: '123456',
            LIVEPEER_HSM_SIGNER__KEYS__0__PIN: 'env:HSM_PIN',
            LIVEPEER_HSM_SIGNER__KEYS__0__MODULE: file,
          }),
        });
        expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
        expect(stdout).toContain(`key from ${provider}, chain facts on-chain`);
      }
    },
  );

  it('`config check` tells of a folder that can’t be looked at', async () => {
    using own = new Folder();
    symlinkSync('audit', join(own.path, 'audit'));
    const config = own.write('signer.yaml', `${devConfig}audit: { path: audit }\n`);
    expect(await run(['config', 'check', '--config', config])).toMatchObject({
      status: 2,
      stdout: '',
      stderr: expect.stringContaining(
        `  audit.path: folder ${own.path}/audit can't be looked at: ELOOP\n`,
      ) as string,
    });
  });

  it('`config check` finds in one report what `serve` would, beside what is wrong in the file itself', async () => {
    using own = new Folder();
    own.write('redis', 'redis://signer:a%zz@127.0.0.1:99999');
    own.write('rpc', 'not a URL');
    own.write('rpc-port', 'http://127.0.0.1:6000');
    own.write('audit', '');
    const config = own.write(
      'signer.yaml',
      `server: { listen: 0.0.0.0:7936, tls: { cert: absent.pem, key: absent.key, clientCa: absent-ca.pem } }
keys:
  - { provider: local-keystore, path: absent, password: env:ABSENT_PASSWORD }
  - { provider: pkcs11, module: /absent.so, token: t, label: l, pin: env:ABSENT_PIN, colour: red }
  - { provider: pkcs11, uri: "pkcs11:token=t;object=l?module-path=/absent.so&pin-source=file:absent-pin" }
chain: { source: on-chain, rpcUrls: [env:ABSENT_RPC, file:rpc, file:rpc-port, http://127.0.0.1:8545] }
auth: { apiKeys: { file: absent-keys.yaml }, webhook: { url: http://127.0.0.1:2, headers: { Cookie: env:ABSENT_COOKIE } } }
policy: { file: . }
discovery: { orchestrators: [a.example:8935, https://user:hunter2@b.example], webhookUrl: env:ABSENT_DISCOVERY }
audit: { path: audit }
store: { kind: redis, url: file:redis }
extra: 1
`,
    );
    const { status, stdout, stderr } = await run(['config', 'check', '--config', config]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    for (const problem of [
      'extra: unknown field',
      'server.tls.cert: ',
      'server.tls.key: ',
      'server.tls.clientCa: ',
      'keys.0.password: environment variable ABSENT_PASSWORD is not set',
      'keys.0.path: there is no keystore at ',
      'keys.1.colour: unknown field',
      'discovery.orchestrators.1: expected HOST:PORT, or an http or https URL without user name and password',
      'keys.1.pin: environment variable ABSENT_PIN is not set',
      'keys.1.module: there is no file /absent.so; correct the path',
      'keys.2: secret file ',
      'keys.2.uri: there is no file /absent.so; correct the path',
      'chain.rpcUrls.0: environment variable ABSENT_RPC is not set',
      'chain.rpcUrls.1: what file:rpc holds is no http or https URL',
      'chain.rpcUrls.2: what file:rpc-port holds is a URL with a port that HTTP clients refuse',
      'auth.webhook.headers.Cookie: environment variable ABSENT_COOKIE is not set',
      'discovery.webhookUrl: environment variable ABSENT_DISCOVERY is not set',
      'policy.file: policy file ',
      'auth.apiKeys.file: file of API keys ',
      'store.url: what file:redis holds is no URL',
      'audit.path: ',
    ]) {
      expect(stderr).toContain(`  ${problem}`);
    }
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  it.each([
    { store: '', says: 'store: expected one of url, sentinel, cluster' },
    {
      store: 'url: redis://127.0.0.1:1, cluster: { nodes: [a:1] }',
      says: 'store: expected one of url, sentinel, cluster',
    },
    {
      store: 'cluster: { nodes: [] }',
      says: 'store.cluster.nodes: expected at least one HOST:PORT',
    },
    { store: 'cluster: { nodes: [a:0] }', says: 'store.cluster.nodes.0: expected HOST:PORT' },
    { store: 'sentinel: { nodes: [a:1] }', says: 'store.sentinel.master: ' },
    {
      store: 'sentinel: { master: m, nodes: [a:1], username: u }',
      says: 'store.sentinel.password: expected the password of username too',
    },
    {
      store: 'cluster: { nodes: [a:1] }, username: u',
      says: 'store.password: expected the password of username too',
    },
    {
      store: 'cluster: { nodes: [a:1] }, password: hunter2',
      says: 'store.password: expected a reference',
    },
    {
      store: 'cluster: { nodes: [a:1] }, password: env:ABSENT',
      says: 'store.password: environment variable ABSENT is not set',
    },
    {
      store: 'url: redis://127.0.0.1:1, username: u, password: env:ABSENT',
      says: 'store.username: a user name and a password are part of the URL',
    },
    {
      store: 'url: redis://127.0.0.1:1, tls: {}',
      says: 'store.tls: needs a URL that begins with rediss://',
    },
    {
      store: 'url: file:redis, tls: {}',
      says: 'store.tls: needs a URL that begins with rediss://',
    },
    {
      store: 'cluster: { nodes: [a:1] }, tls: { cert: a.pem }',
      says: 'store.tls: expected cert and key, or neither',
    },
    {
      store: 'cluster: { nodes: [a:1] }, tls: { ca: absent.pem }',
      says: 'store.tls.ca: certificate file ',
    },
    { store: 'cluster: { nodes: [a:1] }, tls: { ca: redis }', says: 'store.tls: ca, cert and key' },
    {
      store: 'url: redis://127.0.0.1:1, acknowledge: { replicas: 0 }',
      says: 'store.acknowledge',
    },
    {
      store: 'url: redis://127.0.0.1:1, acknowledge: aof, onFailure: allow',
      says: 'store.onFailure: with onFailure: allow',
    },
  ])('`config check` finds what is wrong with a Redis: $store', async ({ store, says }) => {
    using own = new Folder();
    own.write('redis', 'redis://127.0.0.1:1');
    const dev = readFileSync(join(folder, 'dev.yaml'), 'utf8');
    const config = own.write('signer.yaml', `${dev}store: { kind: redis, ${store} }\n`);
    await expect(checkConfig({ config })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(says) as string,
    });
  });

  it.each([
    'sentinel: { master: m, nodes: ["a:1", "[::1]:2"], password: file:redis }, tls: {}, acknowledge: { replicas: 2 }',
    'cluster: { nodes: [a:1] }, username: u, password: file:redis, acknowledge: aof',
    'url: "rediss://127.0.0.1:1", tls: { serverName: redis.example }',
  ])('`config check` takes a Redis with %s', async (store) => {
    using own = new Folder();
    own.write('redis', 'correct-horse');
    const dev = readFileSync(join(folder, 'dev.yaml'), 'utf8');
    const config = own.write('signer.yaml', `${dev}store: { kind: redis, ${store} }\n`);
    await expect(checkConfig({ config })).resolves.toBeUndefined();
  });

  it('`config check` misses no file of a key that is made on first use, but its secret and what is there already', async () => {
    using own = new Folder();
    const config = own.write('signer.yaml', devConfig);
    await expect(checkConfig({ config })).resolves.toBeUndefined();
    own.write('keystore', 'no keystore');
    const message = (text: string) => ({ message: expect.stringContaining(text) as string });
    await expect(checkConfig({ config })).rejects.toMatchObject(
      message('keys.0.path: '.concat(join(own.path, 'keystore'), ' is not a keystore file')),
    );
    own.write('signer.yaml', devConfig.replace('file:password', 'env:ABSENT_PASSWORD'));
    await expect(checkConfig({ config })).rejects.toMatchObject(
      message('keys.0.password: environment variable ABSENT_PASSWORD is not set\n  keys.0.path: '),
    );
  });

  it('a command ends quietly when whoever reads its output has gone', () => {
    const command = `"${process.execPath}" src/cli/livepeer-hsm-signer.ts config schema | true; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', command], { cwd: root, encoding: 'utf8' });
    expect({ stdout, stderr }).toEqual({ stdout: '0\n', stderr: '' });
  });

  it('`config check` looks at the policy file and the file of API keys too', async () => {
    using own = new Folder();
    const text = readFileSync(join(folder, 'dev.yaml'), 'utf8');
    const additions = 'policy: { file: policy.yaml }\nauth: { apiKeys: { file: api-keys.yaml } }\n';
    const config = own.write('signer.yaml', `${text}${additions}`);
    const check = () => run(['config', 'check', '--config', config]);
    own.write('policy.yaml', 'default: deny\nrules: [{ id: all, then: allow }]');
    expect(await check()).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/api-keys\.yaml can't be read: it does not exist/) as string,
    });
    own.write('api-keys.yaml', '[]');
    expect(await check()).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/, rules: 1, API keys: 0\n$/) as string,
    });
    own.write('policy.yaml', 'default: perhaps');
    expect(await check()).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/policy\.yaml is not a valid policy/) as string,
    });
  });

  it.each(files)('%s is valid and points editors to the schema', async (name) => {
    const path = join(folder, name);
    await expect(loadConfig(path, {})).resolves.toHaveProperty('settings');
    expect(readFileSync(path, 'utf8').split('\n')[0]).toBe(
      '# yaml-language-server: $schema=config.schema.json',
    );
  });

  it('the JSON Schema is the one that `config schema` prints', async () => {
    const { status, stdout } = await run(['config', 'schema']);
    expect(status).toBe(0);
    const hint = 'npm run -s signer -- config schema > config/config.schema.json';
    expect(readFileSync(join(folder, 'config.schema.json'), 'utf8'), hint).toBe(stdout);
    expect(JSON.parse(stdout)).toEqual(JSON.parse(JSON.stringify(await describeConfig())));
  });
});
