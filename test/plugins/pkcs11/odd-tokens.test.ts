import { secp256k1 } from '@noble/curves/secp256k1';
import { createRequire } from 'node:module';
import type * as Pkcs11js from 'pkcs11js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { secp256k1Params } from '../../../plugins/pkcs11/key-attributes.ts';
import type { KeyProvider } from '../../../src/keys/provider.ts';
import { Folder, run } from '../../cli/cli.ts';
import { createFaultyModule, type FaultyModule } from '../../support/pkcs11-faults.ts';
import { createSoftHsm, type SoftHsm } from '../../support/softhsm.ts';
import { vectorChain } from '../../support/test-signer.ts';
import {
  expectGoodSignature,
  failureOf,
  type LogLine,
  openProvider,
  patient,
  type Settings,
} from './open-provider.ts';

const pkcs11js = createRequire(import.meta.url)('pkcs11js') as typeof Pkcs11js;
const protectedAuthenticationPath = 0x100;

let hsm: SoftHsm;
let faulty: FaultyModule;
let log: LogLine[];
const opened: KeyProvider[] = [];

async function open(changes: Settings = {}): Promise<KeyProvider> {
  log = [];
  const { module, environment } = faulty;
  const provider = await openProvider(
    hsm,
    { module, environment, sessions: 2, ...changes },
    { log },
  );
  opened.push(provider);
  return provider;
}

const openByUri = (uri: string) => open({ token: undefined, label: undefined, uri });

/** Runs `work` in a session for writing, logged in, before any provider is open. */
function write(work: (module: Pkcs11js.PKCS11, session: Buffer) => void): void {
  process.env['SOFTHSM2_CONF'] = hsm.configFile;
  const module = new pkcs11js.PKCS11();
  module.load(hsm.module);
  module.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK });
  try {
    const slot = module
      .C_GetSlotList(true)
      .find((each) => module.C_GetTokenInfo(each).label.trimEnd() === hsm.tokenLabel);
    if (slot === undefined) throw new Error('the token is gone');
    const flags = pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION;
    const session = module.C_OpenSession(slot, flags);
    module.C_Login(session, pkcs11js.CKU_USER, hsm.pin);
    work(module, session);
  } finally {
    module.C_Finalize();
  }
}

function makeKey(label: Buffer, id: string): void {
  write((module, session) => {
    const names = [
      { type: pkcs11js.CKA_LABEL, value: label },
      { type: pkcs11js.CKA_ID, value: Buffer.from(id, 'hex') },
      { type: pkcs11js.CKA_TOKEN, value: true },
    ];
    module.C_GenerateKeyPair(
      session,
      { mechanism: pkcs11js.CKM_EC_KEY_PAIR_GEN },
      [...names, { type: pkcs11js.CKA_EC_PARAMS, value: secp256k1Params }],
      [
        ...names,
        { type: pkcs11js.CKA_PRIVATE, value: true },
        { type: pkcs11js.CKA_SENSITIVE, value: true },
        { type: pkcs11js.CKA_EXTRACTABLE, value: false },
        { type: pkcs11js.CKA_SIGN, value: true },
      ],
    );
  });
}

/** Stores the public key of private key `number` under the names of another pair. */
function storePublicKey(number: bigint, label: string, id: string): void {
  const point = secp256k1.ProjectivePoint.BASE.multiply(number).toRawBytes(false);
  write((module, session) => {
    module.C_CreateObject(session, [
      { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PUBLIC_KEY },
      { type: pkcs11js.CKA_KEY_TYPE, value: pkcs11js.CKK_EC },
      { type: pkcs11js.CKA_TOKEN, value: true },
      { type: pkcs11js.CKA_LABEL, value: Buffer.from(label) },
      { type: pkcs11js.CKA_ID, value: Buffer.from(id, 'hex') },
      { type: pkcs11js.CKA_EC_PARAMS, value: secp256k1Params },
      { type: pkcs11js.CKA_EC_POINT, value: Buffer.of(0x04, 0x41, ...point) },
    ]);
  });
}

beforeAll(() => {
  hsm = createSoftHsm('my token');
  hsm.makeKey({ label: 'payer', id: '01' });
  makeKey(Buffer.from('nul\0\0\0'), '02');
  makeKey(Buffer.from('   blanks  '), '03');
  makeKey(Buffer.from('doubled'), '04');
  for (const number of [42n, 43n]) storePublicKey(number, 'doubled', '04');
  hsm.makeKey({ label: 'mismatched', id: '05' });
  hsm.pkcs11Tool(['--delete-object', '--type', 'pubkey', '--id', '05']);
  storePublicKey(44n, 'mismatched', '05');
  faulty = createFaultyModule(hsm);
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((provider) => provider.close()));
  faulty.reset();
});

afterAll(() => hsm.remove());

describe('names', () => {
  it.each([
    { padding: 1, what: 'NUL at the end' },
    { padding: 2, what: 'blanks in front' },
    { padding: 3, what: 'NUL in front' },
    { padding: 4, what: 'NUL and whatever stood there before' },
  ])('of tokens are found when they are filled up with $what', async ({ padding }) => {
    faulty.set('padding', padding);
    const provider = await open();
    await expectGoodSignature(provider);
    expect(await provider.describeKey?.(patient)).toMatchObject({
      tokenLabel: 'my token',
      tokenModel: 'SoftHSM v2',
    });
  });

  it.each(['nul', 'blanks'])('of keys are found when they are padded: %s', async (label) => {
    await expectGoodSignature(await open({ label }));
  });

  it('are found by a URI as p11tool prints it', async () => {
    const attributes = await (await open()).describeKey?.(patient);
    const token = `model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=${attributes?.['tokenSerial']};token=my%20token`;
    await expectGoodSignature(await openByUri(`pkcs11:${token};id=%01;object=payer;type=private`));
    faulty.set('padding', 1);
    const padded = token.replace('SoftHSM%20v2', 'SoftHSM%20v2%00%00%00%00%00%00');
    await expectGoodSignature(await openByUri(`pkcs11:${padded};id=%01;object=payer;type=private`));
  });

  it.each(['model=SoftHSM%20v3', 'manufacturer=Somebody', 'model=', 'serial='])(
    'of another token do not match: %s',
    async (attribute) => {
      const failure = await failureOf(openByUri(`pkcs11:token=my%20token;${attribute};id=%01`));
      expect(failure.code).toBe('KEY_NOT_FOUND');
      expect(failure.message).toContain('tokens present: "my token"');
    },
  );
});

describe('a protected authentication path', () => {
  it('is used where no PIN is configured, at start and after a loss', async () => {
    faulty.set('tokenFlags', protectedAuthenticationPath);
    const provider = await open({ pin: undefined });
    await expectGoodSignature(provider);
    expect(faulty.get('loginsWithoutPin')).toBe(1);
    faulty.lose(0x101, 'a restart');
    await expectGoodSignature(provider);
    expect(faulty.get('loginsWithoutPin')).toBe(2);
    expect(faulty.get('logins')).toBe(2);
  });

  it('is left alone where a PIN is configured', async () => {
    faulty.set('tokenFlags', protectedAuthenticationPath);
    await expectGoodSignature(await open());
    expect(faulty.get('loginsWithoutPin')).toBe(0);
  });

  it('is asked once when it refuses', async () => {
    faulty.set('tokenFlags', protectedAuthenticationPath);
    faulty.fail('C_Login', pkcs11js.CKR_PIN_INCORRECT, 1);
    const failure = await failureOf(open({ pin: undefined }));
    expect(failure.code).toBe('KEY_ACCESS_DENIED');
    expect(faulty.get('logins')).toBe(1);
  });
});

describe('a key pair', () => {
  it('with the curve on the public key only is read', async () => {
    faulty.set('hideCurve', 1);
    await expectGoodSignature(await open());
  });

  it('with three public keys is read with the one that a signature proves, once', async () => {
    const provider = await open({ label: 'doubled' });
    expect(faulty.get('signatures')).toBe(1);
    await Promise.all([1, 2, 3].map((index) => expectGoodSignature(provider, index)));
    expect(log.map(({ message }) => message)).toEqual([
      'the PKCS#11 token has several public keys for the key; it signs to show its own',
    ]);
  });

  it('with three public keys is refused where it does not sign', async () => {
    faulty.fail('C_Sign', pkcs11js.CKR_FUNCTION_FAILED, 1_000);
    const failure = await failureOf(open({ label: 'doubled' }));
    expect(failure.code).toBe('KEY_AMBIGUOUS');
    expect(failure.message).toContain('3 different public keys are stored');
  });
});

describe('keys show', () => {
  const show = async (label: string) => {
    using folder = new Folder();
    const { module, configFile, pin, tokenLabel } = hsm;
    const key = { provider: 'pkcs11', module, token: tokenLabel, label, pin: 'env:HSM_PIN' };
    const config = {
      keys: [{ ...key, environment: { SOFTHSM2_CONF: configFile } }],
      chain: vectorChain,
    };
    return await run(
      ['keys', 'show', '--config', folder.write('signer.yaml', JSON.stringify(config))],
      { HSM_PIN: pin },
    );
  };

  it('prints the address of a key that signs for it', async () => {
    const { status, stdout } = await show('payer');
    expect(stdout).toMatch(
      /^key {5}pkcs11:token=my%20token;object=payer\naddress 0x[0-9a-fA-F]{40}\n$/,
    );
    expect(status).toBe(0);
  });

  it('prints no address to fund when the public key on the token is another key’s', async () => {
    const { status, stdout, stderr } = await show('mismatched');
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain('[PROVIDER_REPLY_INVALID]');
    expect(stderr).not.toContain('0x');
  });
});
