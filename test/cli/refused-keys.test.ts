import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { awsConfig, awsEnvironment, gcpConfig, pkcs11Config } from '../secrets/signer-configs.ts';
import { AwsKmsWireServer } from '../support/aws-kms-wire-server.ts';
import { type GcpKmsWireServer, startGcpKmsWireServer } from '../support/gcp-kms-wire-server.ts';
import { type SoftHsm, createSoftHsm } from '../support/softhsm.ts';
import { Cli, type Ended, Folder, run } from './cli.ts';
import { payableRequest } from './payable-request.ts';

/**
 * What an operator may do with a key that can't be used; both must end the program. One after the other: a SoftHSM that two
 * processes open at once may show one of them no token.
 */
async function tryKey(config: string, environment: Record<string, string> = {}): Promise<Ended[]> {
  const listen = ['--listen', '127.0.0.1:0'];
  return [
    await run(['keys', 'check', '--config', config], environment),
    await run(['serve', '--config', config, ...listen], environment),
  ];
}

function expectRefusals(ended: readonly Ended[], code: string, says: readonly string[]): void {
  for (const { status, stdout, stderr } of ended) {
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain(`[${code}]`);
    for (const text of says) expect(stderr).toContain(text);
  }
}

describe('a PKCS#11 key that can’t be used', () => {
  const spy = '/usr/lib/x86_64-linux-gnu/pkcs11-spy.so';
  const wrongPin = '99999';
  let hsm: SoftHsm;

  beforeAll(() => {
    hsm = createSoftHsm();
    hsm.makeKey({ label: 'payer', id: '01' });
    hsm.makeKey({ label: 'twice', id: '02' });
    hsm.makeKey({ label: 'twice', id: '03' });
    hsm.makeKey({ label: 'other curve', id: '04', type: 'EC:prime256v1' });
    hsm.makeKey({ label: 'loose', id: '05', extractable: true });
  });

  afterAll(() => hsm.remove());

  it.each([
    {
      what: 'wrong label',
      changes: { label: 'nobody' },
      code: 'KEY_NOT_FOUND',
      says: ['no such private key', '"payer"', '"loose"'],
    },
    {
      what: 'two keys of one label',
      changes: { label: 'twice' },
      code: 'KEY_AMBIGUOUS',
      says: ['several private keys match, with the ids 0', 'name one with id'],
    },
    {
      what: 'P-256 key',
      changes: { label: 'other curve' },
      code: 'KEY_UNSUITABLE',
      says: ['P-256', 'Ethereum needs secp256k1', 'keys new'],
    },
    {
      what: 'extractable key',
      changes: { label: 'loose' },
      code: 'KEY_UNSUITABLE',
      says: ['can leave the token', 'use one made on the token', 'allowExtractable: true'],
    },
    {
      what: 'missing library',
      changes: { module: '/opt/vendor/lib/libpkcs11.so' },
      code: 'PROVIDER_MISSING',
      says: ["/opt/vendor/lib/libpkcs11.so can't be loaded", 'correct module'],
    },
  ])('$what: keys check and serve say how to mend it', async ({ changes, code, says }) => {
    using folder = new Folder();
    folder.write('pin', hsm.pin);
    const ended = await tryKey(folder.write('signer.yaml', pkcs11Config(hsm, changes)));
    expectRefusals(ended, code, says);
    for (const { stderr } of ended) {
      expect(stderr).toMatch(/^livepeer-hsm-signer: /);
      expect(stderr).not.toContain(hsm.pin);
    }
  });

  it.each(['keys check', 'serve'])('wrong PIN: %s tries it once, and says so', async (command) => {
    using folder = new Folder();
    folder.write('pin', wrongPin);
    const log = join(folder.path, 'spy.log');
    const config = folder.write(
      'signer.yaml',
      pkcs11Config(hsm, {
        module: spy,
        environment: {
          SOFTHSM2_CONF: hsm.configFile,
          PKCS11SPY: hsm.module,
          PKCS11SPY_OUTPUT: log,
        },
      }),
    );
    const ended = await run([...command.split(' '), '--config', config]);
    const says = ['the token refused the PIN', 'it is not tried again', 'correct it and restart'];
    expectRefusals([ended], 'KEY_ACCESS_DENIED', says);
    expect(ended.stderr).not.toContain(wrongPin);
    const calls = readFileSync(log, 'utf8').match(/^\d+: C_\w+/gm) ?? [];
    expect(calls.filter((call) => call.endsWith('C_Login'))).toHaveLength(1);
    expect(calls.filter((call) => call.endsWith('C_Sign'))).toHaveLength(0);
  });
});

describe('an AWS KMS key that can’t be used', () => {
  let server: AwsKmsWireServer;
  let folder: Folder;

  beforeAll(async () => {
    server = await AwsKmsWireServer.start();
    folder = new Folder();
    server.setAlias('alias/p256', server.createKey({ spec: 'ECC_NIST_P256' }));
    const disabled = server.createKey();
    server.setAlias('alias/disabled', disabled);
    server.setKeyState(disabled, 'Disabled');
  });

  afterAll(async () => {
    folder[Symbol.dispose]();
    await server.close();
  });

  const write = (keyId: string): string => folder.write('signer.yaml', awsConfig(server, keyId));

  it.each([
    {
      what: 'wrong alias',
      keyId: 'alias/nobody',
      code: 'KEY_NOT_FOUND',
      says: ['alias/nobody', 'check keyId, region and the account'],
    },
    {
      what: 'P-256 key',
      keyId: 'alias/p256',
      code: 'KEY_UNSUITABLE',
      says: ['ECC_NIST_P256', 'Ethereum needs a key of spec ECC_SECG_P256K1'],
    },
    {
      what: 'disabled key',
      keyId: 'alias/disabled',
      code: 'KEY_UNSUITABLE',
      says: ['has state Disabled', 'enable it'],
    },
  ])('$what: keys check and serve say how to mend it', async ({ keyId, code, says }) => {
    expectRefusals(await tryKey(write(keyId), awsEnvironment(server)), code, says);
  });

  it('wrong secret key: it is tried once, and not shown', async () => {
    server.setAlias('alias/payer', server.createKey());
    const before = server.requests['DescribeKey'] ?? 0;
    const secret = 'wrong/wrong/wrong/wrong/wrong/wrong/wrong';
    const environment = { ...awsEnvironment(server), AWS_SECRET_ACCESS_KEY: secret };
    const ended = await tryKey(write('alias/payer'), environment);
    expectRefusals(ended, 'KEY_ACCESS_DENIED', ['AWS does not accept the credentials']);
    expect((server.requests['DescribeKey'] ?? 0) - before).toBe(ended.length);
    for (const { stderr } of ended) expect(stderr).not.toContain(secret);
  });

  it('an alias that is moved while keys check runs makes the key unsound', async () => {
    server.setAlias('alias/moving', server.createKey());
    server.setFault('GetPublicKey', { kind: 'delay', ms: 300 }, 1);
    const before = server.requests['GetPublicKey'] ?? 0;
    const checking = run(
      ['keys', 'check', '--config', write('alias/moving')],
      awsEnvironment(server),
    );
    await expect
      .poll(() => server.requests['GetPublicKey'], { interval: 5, timeout: 20_000 })
      .toBe(before + 1);
    server.setAlias('alias/moving', server.createKey());
    const { status, stdout } = await checking;
    expect(status).toBe(1);
    expect(stdout).toMatch(
      /FAILED: it is healthy.*alias\/moving now stands for.*move the alias back/,
    );
    expect(stdout).toMatch(/^verdict +NOT SOUND$/m);
  });

  it('an alias that is moved under serve changes neither the address nor the key that signs, and readiness goes red', async () => {
    const keyId = server.createKey();
    server.setAlias('alias/served', keyId);
    const cli = new Cli(
      ['serve', '--config', write('alias/served'), '--listen', '127.0.0.1:0'],
      awsEnvironment(server),
    );
    try {
      const url = await cli.listening();
      server.setAlias('alias/served', server.createKey());
      const body = payableRequest();
      const paid = await fetch(`${url}/generate-live-payment`, { method: 'POST', body });
      expect(paid.status).toBe(200);
      const readiness = await fetch(`${await cli.adminListening()}/readyz`);
      expect(readiness.status).toBe(503);
      expect(await readiness.json()).toMatchObject({ parts: { key: { code: 'KEY_UNSUITABLE' } } });
    } finally {
      cli.child.kill('SIGTERM');
    }
    expect((await cli.ended()).status).toBe(0);
  });
});

describe('a Google Cloud KMS key that can’t be used', () => {
  let server: GcpKmsWireServer;

  beforeAll(async () => {
    server = await startGcpKmsWireServer();
  });

  afterAll(() => server.close());

  it.each([
    {
      what: 'wrong name',
      rename: '/cryptoKeys/nobody/',
      change: {},
      code: 'KEY_NOT_FOUND',
      says: ['/cryptoKeys/nobody/'],
    },
    {
      what: 'P-256 key',
      rename: '/cryptoKeys/payer/',
      change: { algorithm: 'EC_SIGN_P256_SHA256' },
      code: 'KEY_UNSUITABLE',
      says: ['EC_SIGN_P256_SHA256', 'EC_SIGN_SECP256K1_SHA256'],
    },
    {
      what: 'disabled version',
      rename: '/cryptoKeys/payer/',
      change: { state: 'DISABLED' },
      code: 'KEY_UNSUITABLE',
      says: ['DISABLED', 'enable'],
    },
  ])('$what: keys check and serve say how to mend it', async ({ rename, change, code, says }) => {
    using folder = new Folder();
    const version = server.versions.get(server.keyVersion);
    const usable = { ...version };
    Object.assign(version ?? {}, change);
    try {
      const name = server.keyVersion.replace('/cryptoKeys/payer/', rename);
      const config = folder.write('signer.yaml', gcpConfig(server, name));
      expectRefusals(await tryKey(config), code, says);
    } finally {
      Object.assign(version ?? {}, usable);
    }
  });
});
