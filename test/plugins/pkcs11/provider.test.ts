import { secp256k1 } from '@noble/curves/secp256k1';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import type * as Pkcs11js from 'pkcs11js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { plugin } from '../../../plugins/pkcs11/index.ts';
import type { KeyProvider } from '../../../src/keys/provider.ts';
import { createSoftHsm, type SoftHsm } from '../../support/softhsm.ts';
import {
  configure,
  createContext,
  digestOf,
  expectGoodSignature,
  failureOf,
  openProvider,
  patient,
  type Settings,
} from './open-provider.ts';

const pkcs11js = createRequire(import.meta.url)('pkcs11js') as typeof Pkcs11js;
const root = join(import.meta.dirname, '../../..');
const userPinCountLow = 0x00010000;

let hsm: SoftHsm;
const opened: KeyProvider[] = [];

async function open(changes: Settings = {}, options: { pin?: string } = {}): Promise<KeyProvider> {
  const provider = await openProvider(hsm, changes, options);
  opened.push(provider);
  return provider;
}

beforeAll(() => {
  hsm = createSoftHsm();
  hsm.makeKey({ label: 'payer', id: '01' });
  hsm.makeKey({ label: 'twin', id: '02' });
  hsm.makeKey({ label: 'twin', id: '03' });
  hsm.makeKey({ label: 'double', id: '08' });
  hsm.makeKey({ label: 'double', id: '08' });
  hsm.makeKey({ label: 'wrong-curve', id: '04', type: 'EC:prime256v1' });
  hsm.makeKey({ label: 'rsa', id: '05', type: 'rsa:2048' });
  hsm.makeKey({ label: 'exportable', id: '06', extractable: true });
  hsm.makeKey({ label: 'half', id: '07' });
  hsm.pkcs11Tool(['--delete-object', '--type', 'pubkey', '--id', '07']);
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((provider) => provider.close()));
});

afterAll(() => hsm.remove());

describe('an open key', () => {
  it('signs digests so that they verify against its public key', async () => {
    const provider = await open();
    expect(provider.keyRef).toBe('pkcs11:token=livepeer;object=payer');
    expect(provider.concurrency).toBe(4);
    await expectGoodSignature(provider);
  });

  it('has the public key that the token shows to other programs', async () => {
    const provider = await open();
    const shown = hsm.pkcs11Tool(['--list-objects', '--type', 'pubkey', '--id', '01']);
    const publicKey = Buffer.from(await provider.getPublicKey(patient)).toString('hex');
    expect(shown).toContain(`EC_POINT:   0441${publicKey}`);
  });

  it('can be named by a PKCS#11 URI', async () => {
    const pinFile = join(hsm.directory, 'pin');
    writeFileSync(pinFile, hsm.pin);
    const uri = `pkcs11:token=livepeer;object=twin;id=%02?module-path=${hsm.module}&pin-source=file:${pinFile}`;
    const changes = { module: undefined, token: undefined, label: undefined, pin: undefined, uri };
    const provider = await open(changes);
    expect(provider.keyRef).toBe('pkcs11:token=livepeer;object=twin;id=%02');
    await expectGoodSignature(provider);
  });

  it('describes its protection and its token', async () => {
    const provider = await open({ sessions: 2 });
    expect(await provider.describeKey?.(patient)).toEqual({
      curve: 'secp256k1',
      label: 'payer',
      id: '01',
      sensitive: 'yes',
      alwaysSensitive: 'yes',
      extractable: 'no',
      neverExtractable: 'yes',
      local: 'yes',
      tokenLabel: 'livepeer',
      tokenModel: 'SoftHSM v2',
      tokenSerial: expect.stringMatching(/^[0-9a-f]{16}$/) as string,
      tokenFirmware: expect.stringMatching(/^2\.\d+$/) as string,
      sessions: '2',
    });
  });

  it('answers a health check without using the key', async () => {
    const provider = await open();
    await expect(provider.checkHealth?.(patient)).resolves.toBeUndefined();
  });

  it('serves 100 calls at once with 4 sessions', async () => {
    const provider = await open();
    const publicKey = await provider.getPublicKey(patient);
    const indices = Array.from({ length: 100 }, (_, index) => index);
    const signatures = await Promise.all(
      indices.map((index) => provider.signDigest(digestOf(index), patient)),
    );
    const isGood = signatures.map(({ bytes }, index) =>
      secp256k1.verify(bytes, digestOf(index), publicKey, { lowS: false }),
    );
    expect(isGood).toEqual(indices.map(() => true));
  });
});

describe('opening', () => {
  it.each([
    {
      what: 'a label that no key has',
      changes: { label: 'nobody' },
      code: 'KEY_NOT_FOUND',
      message:
        /object=nobody: the token has no such private key; labels of those it has: .*"payer"/,
    },
    {
      what: 'a token that is not there',
      changes: { token: 'elsewhere' },
      code: 'KEY_NOT_FOUND',
      message:
        /token=elsewhere.*: the module shows no such token; tokens present: "livepeer" \(serial /,
    },
    {
      what: 'two keys of one label, naming their ids',
      changes: { label: 'twin' },
      code: 'KEY_AMBIGUOUS',
      message: /with the ids (02, 03|03, 02); name one with id/,
    },
    ...[{}, { id: '08' }].map((more) => ({
      what: `two keys of one label and one id, ${more.id === undefined ? 'without' : 'with'} it`,
      changes: { label: 'double', ...more },
      code: 'KEY_AMBIGUOUS',
      message: /with the ids 08, 08; only one may stay: give the others an id or a label/,
    })),
    {
      what: 'a P-256 key',
      changes: { label: 'wrong-curve' },
      code: 'KEY_UNSUITABLE',
      message: /curve is P-256 \(secp256r1\), and Ethereum needs secp256k1/,
    },
    {
      what: 'an RSA key',
      changes: { label: 'rsa' },
      code: 'KEY_UNSUITABLE',
      message: /the key is an RSA key/,
    },
    {
      what: 'an extractable key',
      changes: { label: 'exportable' },
      code: 'KEY_UNSUITABLE',
      message: /can leave the token \(CKA_EXTRACTABLE true.*allowExtractable: true/,
    },
    {
      what: 'a key without its public half',
      changes: { label: 'half' },
      code: 'KEY_UNSUITABLE',
      message:
        /no public key belongs to it.*store the public key on the token with the same CKA_ID/,
    },
    {
      what: 'a module that does not exist',
      changes: { module: '/nowhere/libvendor.so' },
      code: 'PROVIDER_MISSING',
      message: /\/nowhere\/libvendor\.so can't be loaded: install the vendor's PKCS#11 package/,
    },
    {
      what: 'a module that is not a library',
      changes: { module: join(root, 'package.json') },
      code: 'PROVIDER_MISSING',
      message: /can't be loaded/,
    },
    {
      what: 'a token that wants a PIN when there is none',
      changes: { pin: undefined },
      code: 'KEY_ACCESS_DENIED',
      message: /the token asks for a PIN: set pin to env:NAME or file:PATH/,
    },
  ])('refuses $what', async ({ changes, code, message }) => {
    const failure = await failureOf(open(changes));
    expect(failure.code).toBe(code);
    expect(failure.message).toMatch(message);
    await expectGoodSignature(await open());
  });

  it('takes one of two keys of one label by its id', async () => {
    const provider = await open({ label: 'twin', id: '03' });
    expect(await provider.describeKey?.(patient)).toMatchObject({ label: 'twin', id: '03' });
    await expectGoodSignature(provider);
  });

  it('takes an extractable key where the operator accepts it', async () => {
    const provider = await open({ label: 'exportable', allowExtractable: true });
    expect(await provider.describeKey?.(patient)).toMatchObject({ extractable: 'yes' });
    await expectGoodSignature(provider);
  });

  it('refuses a second environment for a library in use', async () => {
    await open();
    const failure = await failureOf(open({ environment: { SOFTHSM2_CONF: '/elsewhere.conf' } }));
    expect(failure.code).toBe('PROVIDER_MISSING');
    expect(failure.message).toContain('in use in this process with another environment');
  });

  it('tries a wrong PIN exactly once and tells nobody what it was', async () => {
    const spyLog = join(hsm.directory, 'spy.log');
    const environment = {
      SOFTHSM2_CONF: hsm.configFile,
      PKCS11SPY: hsm.module,
      PKCS11SPY_OUTPUT: spyLog,
    };
    const spied = { module: findSpy(), environment };
    const failure = await failureOf(open(spied, { pin: '86420-wrong' }));

    expect(failure.code).toBe('KEY_ACCESS_DENIED');
    expect(failure.retryable).toBe(false);
    expect(failure.message).toContain('the token refused the PIN; it is not tried again');
    expect(inspect(failure, { depth: 9, showHidden: true })).not.toContain('86420-wrong');
    expect(readFileSync(spyLog, 'latin1').match(/C_Login/g)).toHaveLength(1);
    expect(readTokenFlags() & userPinCountLow).toBe(userPinCountLow);

    await expectGoodSignature(await open());
    expect(readTokenFlags() & userPinCountLow).toBe(0);
  });

  it('says what to install when pkcs11js is missing', () => {
    const bare = join(hsm.directory, 'without-pkcs11js');
    for (const folder of ['src', 'plugins/pkcs11']) {
      cpSync(join(root, folder), join(bare, folder), { recursive: true });
    }
    mkdirSync(join(bare, 'node_modules'));
    for (const name of readdirSync(join(root, 'node_modules'))) {
      if (name === 'pkcs11js') continue;
      symlinkSync(join(root, 'node_modules', name), join(bare, 'node_modules', name));
    }
    writeFileSync(join(bare, 'package.json'), '{ "type": "module" }');
    writeFileSync(
      join(bare, 'open.ts'),
      `import { plugin } from './plugins/pkcs11/index.ts';
       const config = plugin.configSchema.parse({ module: '${hsm.module}', token: 'livepeer', label: 'payer' });
       const context = { resolvePath: (path) => path, log: () => {} };
       await plugin.open(config, context).catch(({ code, message }) => console.log(code, message));`,
    );
    const printed = execFileSync(process.execPath, ['open.ts'], { cwd: bare, encoding: 'utf8' });
    expect(printed).toMatch(
      /^PROVIDER_MISSING the package pkcs11js is not installed: run "npm install pkcs11js"/,
    );
  });
});

describe('generateKey', () => {
  const generate = (changes: Settings) =>
    plugin.generateKey?.(
      plugin.configSchema.parse(configure(hsm, changes)),
      createContext(hsm.pin),
    ) ?? Promise.reject(new Error('the plugin makes no keys'));

  it('makes a key that never leaves the token and signs', async () => {
    const { keyRef, publicKey } = await generate({ label: 'made' });
    expect(keyRef).toBe('pkcs11:token=livepeer;object=made');
    const provider = await open({ label: 'made' });
    expect(await provider.getPublicKey(patient)).toEqual(publicKey);
    expect(await provider.describeKey?.(patient)).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
      sensitive: 'yes',
      alwaysSensitive: 'yes',
      extractable: 'no',
      neverExtractable: 'yes',
      local: 'yes',
    });
    await expectGoodSignature(provider);
    const shown = hsm.pkcs11Tool(['--list-objects', '--type', 'privkey']);
    const made = shown.split('Private Key Object').find((key) => /label: +made$/m.test(key));
    expect(made).toMatch(/Usage: .*sign/);
    expect(made).not.toMatch(/Usage: .*derive/);
  });

  it.each([
    { what: 'label', changes: { label: 'payer' } },
    { what: 'id', changes: { label: 'other', id: '01' } },
    { what: 'id of a lone public key or private key', changes: { label: 'other', id: '07' } },
  ])('refuses a taken $what', async ({ changes }) => {
    const failure = await failureOf(generate(changes));
    expect(failure.code).toBe('KEY_ALREADY_EXISTS');
    expect(failure.message).toMatch(/the token has a key with this (label|id) already/);
  });
});

describe('aborting', () => {
  it('rejects a call whose signal is aborted already', async () => {
    const provider = await open();
    const failure = await failureOf(
      provider.signDigest(digestOf(1), { signal: AbortSignal.abort() }),
    );
    expect(failure.code).toBe('REQUEST_ABORTED');
  });

  it('rejects waiting and running calls at once and keeps serving others', async () => {
    const provider = await open({ sessions: 2 });
    const controller = new AbortController();
    const calls = Array.from({ length: 20 }, (_, index) =>
      failureOf(provider.signDigest(digestOf(index), { signal: controller.signal })),
    );
    await Promise.resolve();
    controller.abort();
    const codes = (await Promise.all(calls)).map(({ code }) => code);
    expect(new Set(codes)).toEqual(new Set(['REQUEST_ABORTED']));
    await Promise.all([1, 2, 3, 4, 5].map((index) => expectGoodSignature(provider, index)));
  });

  it('reports a deadline as a timeout that may be tried again', async () => {
    const provider = await open();
    const signal = AbortSignal.timeout(1);
    while (!signal.aborted) await delay(1);
    const failure = await failureOf(provider.signDigest(digestOf(1), { signal }));
    expect(failure.code).toBe('PROVIDER_TIMEOUT');
    expect(failure.retryable).toBe(true);
  });
});

describe('closing', () => {
  it('rejects calls under way, waiting ones and later ones, and may be repeated', async () => {
    const provider = await open();
    const calls = Array.from({ length: 30 }, (_, index) =>
      failureOf(provider.signDigest(digestOf(index), patient)),
    );
    await Promise.all([provider.close(), provider.close()]);
    await provider.close();
    const codes = (await Promise.all(calls)).map(({ code }) => code);
    expect(new Set(codes)).toEqual(new Set(['PROVIDER_CLOSED']));
    for (const call of [
      provider.signDigest(digestOf(1), patient),
      provider.getPublicKey(patient),
      provider.checkHealth?.(patient) ?? Promise.resolve(),
    ]) {
      expect((await failureOf(call)).code).toBe('PROVIDER_CLOSED');
    }
  });

  it('leaves the module finalised, so that no session remains', async () => {
    const provider = await open();
    await expectGoodSignature(provider);
    await provider.close();
    const module = loadModule();
    expect(() => module.C_GetSlotList(true)).toThrow('CKR_CRYPTOKI_NOT_INITIALIZED');
  });

  it('can be followed by opening again, time after time', async () => {
    for (let round = 0; round < 5; round += 1) {
      const provider = await open({ sessions: 1 + (round % 3) });
      await expectGoodSignature(provider, round);
      await provider.close();
    }
  });

  it('leaves other providers on the same module alone', async () => {
    hsm.addToken('second');
    hsm.pkcs11Tool(
      ['--keypairgen', '--key-type', 'EC:secp256k1', '--label', 'payer', '--id', '01'],
      'second',
    );
    const [first, second, third] = await Promise.all([
      open(),
      open({ token: 'second' }),
      open({ label: 'twin', id: '02' }),
    ]);
    expect(await first.getPublicKey(patient)).not.toEqual(await second.getPublicKey(patient));
    await Promise.all([first, second, third].map((provider) => expectGoodSignature(provider)));
    await first.close();
    await Promise.all([second, third].map((provider) => expectGoodSignature(provider)));
    const again = await open();
    await Promise.all([second, third, again].map((provider) => expectGoodSignature(provider)));
  });
});

function loadModule(): Pkcs11js.PKCS11 {
  const module = new pkcs11js.PKCS11();
  module.load(hsm.module);
  return module;
}

function readTokenFlags(): number {
  const module = loadModule();
  const isOurs = attempt(() => module.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK }));
  try {
    const tokens = module.C_GetSlotList(true).map((slot) => module.C_GetTokenInfo(slot));
    const token = tokens.find(({ label }) => label.trimEnd() === hsm.tokenLabel);
    if (token === undefined) throw new Error('the token is gone');
    return token.flags;
  } finally {
    if (isOurs) module.C_Finalize();
  }
}

function attempt(run: () => void): boolean {
  try {
    run();
    return true;
  } catch {
    return false;
  }
}

function findSpy(): string {
  const path = '/usr/lib/x86_64-linux-gnu/pkcs11-spy.so';
  expect(
    attempt(() => readFileSync(path)),
    `${path} is part of opensc: install it`,
  ).toBe(true);
  return path;
}
