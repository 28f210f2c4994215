import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as Keystore from 'ox/Keystore';
import { expect, it } from 'vitest';
import { Folder, devConfig, run } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { AwsKmsWireServer } from '../support/aws-kms-wire-server.ts';
import { createSoftHsm } from '../support/softhsm.ts';
import { awsConfig, awsEnvironment, pkcs11Config } from './signer-configs.ts';
import { SearchableSigner } from './searchable-signer.ts';

/** What `keys check` prints about a key that can be used. */
async function checkKey(config: string, environment: Record<string, string> = {}): Promise<string> {
  const { status, stdout, stderr } = await run(['keys', 'check', '--config', config], environment);
  expect(status).toBe(0);
  return stdout + stderr;
}

async function pay(signer: SearchableSigner): Promise<void> {
  const url = await signer.cli.listening();
  const body = payableRequest();
  const response = await fetch(`${url}/generate-live-payment`, { method: 'POST', body });
  expect(response.status).toBe(200);
}

// Each search has a text that must be found, as a proof that it searches where such texts are.

it('the PIN of a token is in no heap of a signer that has logged in and paid, nor in its output', async () => {
  const hsm = createSoftHsm('livepeer', '8317264950172');
  try {
    hsm.makeKey({ label: 'payer', id: '01' });
    using folder = new Folder();
    folder.write('pin', `${hsm.pin}\n`);
    const config = folder.write('signer.yaml', pkcs11Config(hsm));
    expect(await checkKey(config)).not.toContain(hsm.pin);
    using signer = new SearchableSigner(folder, config);
    await pay(signer);
    const texts = { key: 'pkcs11:token=livepeer;object=payer', PIN: hsm.pin };
    expect(await signer.findInHeaps(texts)).toEqual(['key']);
    expect(signer.heaps).toBe(5);
    expect(await signer.stop()).not.toContain(hsm.pin);
  } finally {
    hsm.remove();
  }
});

it('neither the password nor the key of a keystore is a text in the heap or in the output', async () => {
  using folder = new Folder();
  const password = 'a password that is nowhere else: 93-1f-c7';
  folder.write('password', password);
  const config = folder.write(
    'signer.yaml',
    devConfig.replace('    generateIfMissing: true\n', ''),
  );
  await run(['keys', 'new', '--config', config]);
  const [name = ''] = readdirSync(join(folder.path, 'keystore'));
  const text = readFileSync(join(folder.path, 'keystore', name), 'utf8');
  const keystore = JSON.parse(text) as Keystore.Keystore;
  const key = Keystore.decrypt(keystore, Keystore.toKey(keystore, { password }));
  const bytes = Buffer.from(key.slice(2), 'hex');
  using signer = new SearchableSigner(folder, config);
  await pay(signer);
  const secrets = {
    password,
    'key in hex': key.slice(2),
    'key in upper-case hex': key.slice(2).toUpperCase(),
    'key in decimal': BigInt(key).toString(),
    'key in base64': bytes.toString('base64').replace(/=+$/, ''),
    'key as a list': bytes.join(','),
  };
  const found = await signer.findInHeaps({ file: name, ...secrets });
  expect(found).toEqual(['file']);
  const output = (await signer.stop()) + (await checkKey(config));
  expect(output).toContain(name);
  expect(Object.entries(secrets).filter(([, secret]) => output.includes(secret))).toEqual([]);
});

it('AWS credentials are not in the output; in the heap is what the SDK keeps to sign requests', async () => {
  const server = await AwsKmsWireServer.start();
  try {
    const keyId = server.createKey();
    using folder = new Folder();
    const config = folder.write('signer.yaml', awsConfig(server, keyId));
    using signer = new SearchableSigner(folder, config, awsEnvironment(server));
    await pay(signer);
    const { secretAccessKey, sessionToken } = server.credentials;
    // SigV4 needs them for each request, and the SDK has no way to keep them elsewhere: docs/providers/aws-kms.md
    const found = await signer.findInHeaps({ key: keyId, secretAccessKey, sessionToken });
    expect(found).toEqual(['key', 'secretAccessKey', 'sessionToken']);
    const output = (await signer.stop()) + (await checkKey(config, awsEnvironment(server)));
    expect(output).toContain(keyId);
    for (const secret of [secretAccessKey, sessionToken]) expect(output).not.toContain(secret);
  } finally {
    await server.close();
  }
});
