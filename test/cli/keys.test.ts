import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Folder, devConfig, run } from './cli.ts';

const password = 'correct horse battery staple';
const wantsPassword = devConfig.replace('    generateIfMissing: true\n', '');
const addressPattern = /^address\s+(0x[0-9a-fA-F]{40})$/m;

function addressIn(text: string): string {
  const address = addressPattern.exec(text)?.[1];
  if (address === undefined) throw new Error(`no address in ${text}`);
  return address;
}

describe('keys with a local keystore', () => {
  it('makes a key, shows it, checks it, and refuses to make another', async () => {
    using folder = new Folder();
    folder.write('password', `${password}\n`);
    const config = folder.write('signer.yaml', wantsPassword);

    const made = await run(['keys', 'new', '--config', config]);
    expect(made).toMatchObject({ status: 0, stderr: '' });
    const address = addressIn(made.stdout);
    const [name = ''] = readdirSync(join(folder.path, 'keystore'));
    const file = join(folder.path, 'keystore', name);
    expect(made.stdout).toBe(`made local-keystore:path=${file}\naddress ${address}\n`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const before = readFileSync(file, 'utf8');

    const shown = await run(['keys', 'show', '--config', config]);
    expect(shown).toMatchObject({
      status: 0,
      stderr: '',
      stdout: `key     local-keystore:path=${file}\naddress ${address}\n`,
    });

    const checked = await run(['keys', 'check', '--config', config]);
    expect(checked).toMatchObject({ status: 0, stderr: '' });
    expect(addressIn(checked.stdout)).toBe(address);
    expect(checked.stdout).toMatch(/^self-test +signed and verified; ready after \d+ ms$/m);

    const again = await run(['keys', 'new', '--config', config]);
    expect(again).toMatchObject({ status: 1, stdout: '' });
    expect(again.stderr).toContain(`${file} exists`);
    expect(again.stderr).toContain('[KEY_ALREADY_EXISTS]');
    expect(readFileSync(file, 'utf8')).toBe(before);

    for (const { stdout, stderr } of [made, shown, checked, again]) {
      expect(stdout + stderr).not.toContain(password);
    }
  });

  it('says that the password is wrong, and does not print it', async () => {
    using folder = new Folder();
    folder.write('password', password);
    const config = folder.write('signer.yaml', wantsPassword);
    await run(['keys', 'new', '--config', config]);
    folder.write('password', 'not-the-password');
    const { status, stdout, stderr } = await run(['keys', 'show', '--config', config]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain('password');
    expect(stderr).toContain('[KEY_ACCESS_DENIED]');
    expect(stderr).not.toContain('not-the-password');
  });

  it.each(['show', 'check'])('keys %s names the command that makes a missing key', async (verb) => {
    using folder = new Folder();
    folder.write('password', password);
    const config = folder.write('signer.yaml', wantsPassword);
    const { status, stderr } = await run(['keys', verb, '--config', config]);
    expect(status).toBe(1);
    expect(stderr).toContain(join(folder.path, 'keystore'));
    expect(stderr).toContain('keys new --config');
    expect(stderr).toContain('[KEY_NOT_FOUND]');
  });

  it.each([
    {
      reference: 'env:SIGNER_TEST_PASSWORD',
      says: 'keys.0.password: environment variable SIGNER_TEST_PASSWORD is not set',
    },
    { reference: 'file:absent', says: 'keys.0.password: secret file ' },
  ])('names the secret that is missing: $reference', async ({ reference, says }) => {
    using folder = new Folder();
    const config = folder.write('signer.yaml', wantsPassword.replace('file:password', reference));
    const { status, stderr } = await run(['keys', 'new', '--config', config]);
    expect(status).toBe(2);
    expect(stderr).toContain(says);
    expect(stderr).toContain('[SECRET_UNREADABLE]');
  });

  it('takes the password from the environment', async () => {
    using folder = new Folder();
    const config = folder.write('signer.yaml', wantsPassword.replace('file:password', 'env:PW'));
    const made = await run(['keys', 'new', '--config', config], { PW: password });
    const shown = await run(['keys', 'show', '--config', config], { PW: password });
    expect(made.status).toBe(0);
    expect(addressIn(shown.stdout)).toBe(addressIn(made.stdout));
  });
});
