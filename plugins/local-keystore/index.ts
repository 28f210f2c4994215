import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import {
  type CallOptions,
  type GeneratedKey,
  type KeyProvider,
  type KeyProviderPlugin,
  type KeyToImport,
  type ProviderContext,
  ProviderError,
  type ProviderSignature,
  Secret,
} from '../../src/keys/provider.ts';
import { publicKeyToAddress } from '../../src/keys/signature.ts';
import {
  assertRoomForKey,
  findKeystore,
  readKeystoreText,
  writeKeystore,
} from './keystore-folder.ts';
import { chooseSecp256k1, type Secp256k1 } from './secp256k1.ts';
import {
  decryptKeystore,
  describeKdf,
  encryptKeystore,
  type KeystoreFile,
  parseKeystore,
} from './web3-secret-storage.ts';

const passwordForm = 'expected a reference, env:NAME or file:PATH, not the password itself';

const configSchema = z
  .strictObject({
    /** A keystore file, or the folder that holds it. */
    path: z.string().min(1),
    /** Picks one file of a folder that holds several; the key must have this address. */
    address: z
      .string('expected text; YAML takes 0x… for a number unless it is in quotes')
      .regex(/^(0x)?[0-9a-fA-F]{40}$/, 'expected an address: 20 bytes in hex')
      .optional(),
    /** Where the password is, never the password itself. */
    password: z
      .string(passwordForm)
      .regex(/^(env|file):./, passwordForm)
      .optional(),
    /** The key is encrypted with the empty password; instead of `password`. */
    emptyPassword: z.boolean().optional(),
  })
  .refine(({ password, emptyPassword }) => (password === undefined) === (emptyPassword === true), {
    path: ['password'],
    error: 'expected env:NAME or file:PATH, or emptyPassword: true instead of it',
  });

type Config = z.infer<typeof configSchema>;

/** Signing runs on the event loop, so more at once gains nothing; this many keeps the gate's queue short. */
const concurrency = 64;

const warning =
  'for development: the key lies in this process in plain, where whoever can read its memory can copy it';

/**
 * A key in a Web3 Secret Storage file, as geth and go-livepeer write it, decrypted into this process.
 * For development; `docs/providers/local-keystore.md` says why.
 */
export const plugin: KeyProviderPlugin<Config> = {
  portVersion: 1,
  name: 'local-keystore',
  configSchema,
  check: checkFiles,
  open: openKey,
  generateKey,
  importKey,
};

async function checkFiles(config: Config, context: ProviderContext): Promise<void> {
  readPassword(config, context);
  const path = await findKeystore(context.resolvePath(config.path), wantedAddress(config));
  parseKeystore((await readKeystoreText(path)).text, path);
}

async function openKey(config: Config, context: ProviderContext): Promise<KeyProvider> {
  const path = await findKeystore(context.resolvePath(config.path), wantedAddress(config));
  const { text, isExposed } = await readKeystoreText(path);
  const keystore = parseKeystore(text, path);
  if (isExposed) {
    context.log('warn', 'others than its owner may use the keystore file: chmod 600 it', { path });
  }
  const secp256k1 = chooseSecp256k1();
  if (secp256k1.library !== 'libsecp256k1') {
    context.log('warn', 'no native secp256k1 library for this platform: signing is slower', {
      library: secp256k1.library,
    });
  }
  const privateKey = await decryptKeystore(keystore, readPassword(config, context), path);
  try {
    assertExpectedKey(privateKey, { path, address: keystore.address }, config, secp256k1);
  } catch (error) {
    privateKey.fill(0);
    throw error;
  }
  return createProvider(privateKey, keystore, path, secp256k1);
}

function readPassword({ password }: Config, context: ProviderContext): Secret {
  return password === undefined ? new Secret('') : context.readSecret(password);
}

/** `file` is where the key was read from, with the address that it states. */
function assertExpectedKey(
  privateKey: Uint8Array,
  { path, address: statedAddress }: { path: string; address?: string | undefined },
  config: Config,
  secp256k1: Secp256k1,
): void {
  if (!secp256k1.isPrivateKey(privateKey)) {
    throw new ProviderError(
      'KEY_UNSUITABLE',
      `${path} holds no secp256k1 private key; name another file`,
    );
  }
  const address = addressOf(secp256k1.publicKeyOf(privateKey));
  const stated = statedAddress && bareAddress(statedAddress);
  if (stated !== undefined && stated !== address) {
    throw new ProviderError(
      'KEY_UNSUITABLE',
      `${path} states the address 0x${stated}, but its key has 0x${address}; restore the file`,
    );
  }
  const wanted = wantedAddress(config);
  if (wanted !== undefined && wanted !== address) {
    throw new ProviderError(
      'KEY_UNSUITABLE',
      `the key of ${path} has the address 0x${address}, but address is 0x${wanted}; correct one of them`,
    );
  }
}

function createProvider(
  privateKey: Uint8Array,
  keystore: KeystoreFile,
  path: string,
  secp256k1: Secp256k1,
): KeyProvider {
  const keyRef = keyRefOf(path);
  const publicKey = secp256k1.publicKeyOf(privateKey);
  let isClosed = false;

  const whileOpen = <Result>({ signal }: CallOptions, action: () => Result): Promise<Result> =>
    new Promise((resolve) => {
      if (isClosed) throw new ProviderError('PROVIDER_CLOSED', `${keyRef}: the key was closed`);
      if (signal.aborted) {
        throw new ProviderError('REQUEST_ABORTED', `${keyRef}: the call was aborted`);
      }
      resolve(action());
    });

  const sign = (digest: Uint8Array): ProviderSignature => {
    const { bytes, recoveryId } = secp256k1.sign(digest, privateKey);
    return { encoding: 'raw', bytes, recoveryId };
  };

  return {
    keyRef,
    concurrency,
    getPublicKey: (options) => whileOpen(options, () => publicKey.slice()),
    signDigest: (digest, options) => whileOpen(options, () => sign(digest)),
    signDigests: (digests, options) => whileOpen(options, () => digests.map(sign)),
    describeKey: (options) =>
      whileOpen(options, () => ({
        storage: 'file',
        path,
        kdf: describeKdf(keystore),
        library: secp256k1.library,
        warning,
      })),
    close: () => {
      isClosed = true;
      privateKey.fill(0);
      return Promise.resolve();
    },
  };
}

async function generateKey(config: Config, context: ProviderContext): Promise<GeneratedKey> {
  const path = context.resolvePath(config.path);
  await assertRoomForKey(path);
  if (config.address !== undefined) {
    throw new ProviderError(
      'KEY_UNSUITABLE',
      "a new key's address can't be chosen; leave address out to make a key",
    );
  }
  const secp256k1 = chooseSecp256k1();
  const privateKey = randomPrivateKey(secp256k1);
  try {
    return await storeKey(privateKey, path, config, context, secp256k1);
  } finally {
    privateKey.fill(0);
  }
}

async function importKey(
  config: Config,
  key: KeyToImport,
  context: ProviderContext,
): Promise<GeneratedKey> {
  const path = context.resolvePath(config.path);
  await assertRoomForKey(path);
  const secp256k1 = chooseSecp256k1();
  const { privateKey, address } = await readKeyToImport(key, config, context);
  try {
    assertExpectedKey(privateKey, { path: key.path, address }, config, secp256k1);
    return await storeKey(privateKey, path, config, context, secp256k1);
  } finally {
    privateKey.fill(0);
  }
}

async function readKeyToImport(
  key: KeyToImport,
  config: Config,
  context: ProviderContext,
): Promise<{ privateKey: Uint8Array; address: string | undefined }> {
  if (key.kind === 'keystore') {
    const { text } = await readKeystoreText(key.path, '--keystore');
    const keystore = parseKeystore(text, key.path);
    const password = key.password ?? readPassword(config, context);
    const privateKey = await decryptKeystore(keystore, password, key.path, '--keystore-password');
    return { privateKey, address: keystore.address };
  }
  const [, digits] = /^\s*(?:0x)?([0-9a-fA-F]{64})\s*$/.exec(key.privateKey.reveal()) ?? [];
  if (digits === undefined) {
    throw new ProviderError(
      'KEY_UNSUITABLE',
      `${key.path} holds no private key; expected 64 hex digits and nothing else`,
    );
  }
  return { privateKey: Uint8Array.from(Buffer.from(digits, 'hex')), address: undefined };
}

/** Writes the key to a new file, encrypted with the configured password. */
async function storeKey(
  privateKey: Uint8Array,
  path: string,
  config: Config,
  context: ProviderContext,
  secp256k1: Secp256k1,
): Promise<GeneratedKey> {
  const password = readPassword(config, context);
  const publicKey = secp256k1.publicKeyOf(privateKey);
  const address = addressOf(publicKey);
  const keystore = await encryptKeystore(privateKey, address, password);
  return { keyRef: keyRefOf(await writeKeystore(path, address, keystore)), publicKey };
}

function randomPrivateKey(secp256k1: Secp256k1): Uint8Array {
  for (;;) {
    const candidate = randomBytes(32);
    if (secp256k1.isPrivateKey(candidate)) return candidate;
  }
}

function keyRefOf(path: string): string {
  return `local-keystore:path=${path}`;
}

function wantedAddress({ address }: Config): string | undefined {
  return address && bareAddress(address);
}

/** Lower case, without `0x`. */
function bareAddress(address: string): string {
  return address.toLowerCase().replace(/^0x/, '');
}

/** The Ethereum address of a public key, as lower-case hex without `0x`. */
function addressOf(publicKey: Uint8Array): string {
  return publicKeyToAddress(publicKey).slice(2);
}
