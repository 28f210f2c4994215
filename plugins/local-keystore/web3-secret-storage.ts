import { pbkdf2, randomBytes, scrypt } from 'node:crypto';
import { once } from 'node:events';
import { extname } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import * as Keystore from 'ox/Keystore';
import { z } from 'zod';
import { ProviderError, Secret } from '../../src/keys/provider.ts';

const derivedKeyBytes = 32;

const hex = (bytes: number) =>
  z.string().regex(new RegExp(`^[0-9a-fA-F]{${bytes * 2}}$`), `expected ${bytes} bytes in hex`);

const saltSchema = z.string().regex(/^([0-9a-fA-F]{2})*$/, 'expected bytes in hex');

/** geth's own files take N·r = 2²¹ and N·r·p = 2²¹: 256 MiB and under a second. */
const maxScryptBlocks = 2 ** 23;
const maxScryptWork = 2 ** 25;

const scryptParamsSchema = z
  .object({
    dklen: z.literal(derivedKeyBytes),
    n: z.int().min(2).max(maxScryptBlocks),
    r: z.int().min(1).max(32),
    p: z.int().min(1).max(32),
    salt: saltSchema,
  })
  .refine(({ n }) => Number.isInteger(Math.log2(n)), {
    path: ['n'],
    error: 'expected a power of 2',
  })
  .refine(({ n, r }) => n * r <= maxScryptBlocks, {
    path: ['n'],
    error: 'n·r is above 2^23: deriving the key would take more than 1 GiB of memory',
  })
  .refine(({ n, r, p }) => n * r * p <= maxScryptWork, {
    path: ['p'],
    error: 'n·r·p is above 2^25: deriving the key would take too long',
  });

type ScryptParams = z.infer<typeof scryptParamsSchema>;

const pbkdf2ParamsSchema = z.object({
  dklen: z.literal(derivedKeyBytes),
  c: z.int().min(1).max(10_000_000),
  prf: z.literal('hmac-sha256'),
  salt: saltSchema,
});

const cipherFields = {
  cipher: z.literal('aes-128-ctr'),
  cipherparams: z.object({ iv: hex(16) }),
  ciphertext: hex(32),
  mac: hex(32),
};

/** Names are in lower case: see {@link parseKeystore}. Members that nobody needs here are ignored, as geth does. */
const keystoreSchema = z.object({
  address: z
    .string()
    .regex(/^(0x)?[0-9a-fA-F]{40}$/, 'expected 20 bytes in hex')
    .optional(),
  crypto: z.discriminatedUnion('kdf', [
    z.object({ ...cipherFields, kdf: z.literal('scrypt'), kdfparams: scryptParamsSchema }),
    z.object({ ...cipherFields, kdf: z.literal('pbkdf2'), kdfparams: pbkdf2ParamsSchema }),
  ]),
  id: z.string(),
  version: z.literal(3),
});

/** A checked Web3 Secret Storage file, version 3, still encrypted. Byte strings are hex without `0x`. */
export type KeystoreFile = z.infer<typeof keystoreSchema>;

/**
 * Reads the text of a keystore file. Member names count in any case (`Crypto`, `crypto`), as in geth, whose JSON
 * decoder ignores case. Key derivation is limited to 1 GiB of memory, so that a hostile file can't stop the process.
 * Throws `KEY_UNSUITABLE` with `path` and the members that are wrong; never with their content.
 */
export function parseKeystore(text: string, path: string): KeystoreFile {
  const result = keystoreSchema.safeParse(parseJson(text, path));
  if (result.success) return result.data;
  const problems = result.error.issues.map(
    (issue) => `${issue.path.join('.') || 'the file'}: ${issue.message}`,
  );
  throw new ProviderError(
    'KEY_UNSUITABLE',
    `${path} is not a Web3 Secret Storage file of version 3: ${problems.join('; ')}`,
    { data: { field: 'path' } },
  );
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text, (_name, value: unknown) =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? Object.fromEntries(
            Object.entries(value).map(([name, member]) => [name.toLowerCase(), member]),
          )
        : value,
    );
  } catch {
    // The parser's own words quote the text, which may be a password file named by mistake.
    throw new ProviderError(
      'KEY_UNSUITABLE',
      `${path} is not a keystore file: its content is not JSON; name a Web3 Secret Storage file`,
      { data: { field: 'path' } },
    );
  }
}

/**
 * Decrypts the private key, 32 bytes; the caller wipes it. Derivation leaves the event loop free. A password that does not
 * open the file is tried again without the white space and the byte order mark around it, which go-livepeer cuts off.
 * `setting` is what names the password. Throws `KEY_ACCESS_DENIED` when the message authentication code does not match: the
 * password is wrong, or the file was altered.
 */
export async function decryptKeystore(
  keystore: KeystoreFile,
  password: Secret,
  path: string,
  setting = 'password',
): Promise<Uint8Array> {
  // `trim` takes U+FEFF for white space.
  const bare = password.reveal().trim();
  const key =
    (await tryPassword(keystore, password)) ??
    (bare === password.reveal() ? undefined : await tryPassword(keystore, new Secret(bare)));
  if (key !== undefined) return key;
  throw new ProviderError(
    'KEY_ACCESS_DENIED',
    `the password does not open ${path}; correct ${setting}, or restore the file if it was altered`,
    { data: { field: setting } },
  );
}

async function tryPassword(
  keystore: KeystoreFile,
  password: Secret,
): Promise<Uint8Array | undefined> {
  const derivedKey = await deriveKey(keystore.crypto, password);
  try {
    return Keystore.decrypt(keystore, derivedKey, { as: 'Bytes' });
  } catch {
    return undefined;
  }
}

/**
 * Encrypts a private key as geth does with `--lightkdf` (scrypt, N = 4096, r = 8, p = 6: 4 MiB, some 50 ms):
 * keys made here are for development, where a quick start counts for more than resistance to guessing.
 * `address` is 20 bytes in hex without `0x`.
 */
export async function encryptKeystore(
  privateKey: Uint8Array,
  address: string,
  password: Secret,
): Promise<string> {
  const kdf = 'scrypt';
  const kdfparams: ScryptParams = {
    dklen: derivedKeyBytes,
    n: 4096,
    r: 8,
    p: 6,
    salt: randomBytes(32).toString('hex'),
  };
  const derivedKey = await deriveKey({ kdf, kdfparams }, password);
  const iv = new Uint8Array(randomBytes(16));
  return JSON.stringify({
    address,
    ...Keystore.encrypt(privateKey, derivedKey, { kdf, kdfparams, iv }),
  });
}

/** The key derivation and its cost in one line, for an operator. */
export function describeKdf({ crypto }: KeystoreFile): string {
  if (crypto.kdf === 'pbkdf2') return `pbkdf2 c=${crypto.kdfparams.c}`;
  const { n, r, p } = crypto.kdfparams;
  return `scrypt n=${n} r=${r} p=${p}`;
}

type Kdf =
  | { kdf: 'scrypt'; kdfparams: ScryptParams }
  | { kdf: 'pbkdf2'; kdfparams: z.infer<typeof pbkdf2ParamsSchema> };

/** The extension is that of this file: `.ts` in the sources, `.js` once built. */
const scryptWorker = new URL(`./scrypt-worker${extname(import.meta.url)}`, import.meta.url);

const pbkdf2InThreadPool = promisify(pbkdf2);

async function deriveKey(kdf: Kdf, password: Secret): Promise<`0x${string}`> {
  const salt = Buffer.from(kdf.kdfparams.salt, 'hex');
  const derivedKey =
    kdf.kdf === 'pbkdf2'
      ? await pbkdf2InThreadPool(
          password.reveal(),
          salt,
          kdf.kdfparams.c,
          derivedKeyBytes,
          'sha256',
        )
      : await deriveByScrypt(kdf.kdfparams, salt, password);
  const inHex = Buffer.from(derivedKey).toString('hex');
  derivedKey.fill(0);
  return `0x${inHex}`;
}

async function deriveByScrypt(
  { n, r, p }: ScryptParams,
  salt: Uint8Array,
  password: Secret,
): Promise<Uint8Array> {
  const options = { N: n, r, p, maxmem: 128 * r * (n + p + 2) };
  // RFC 7914 asks for N < 2^(16r) and OpenSSL insists; geth, ox and the format's own test vector (N = 2^18, r = 1) do not.
  if (n >= 2 ** (16 * r)) {
    const workerData = [password.reveal(), salt, { ...options, dkLen: derivedKeyBytes }];
    const [derivedKey] = (await once(new Worker(scryptWorker, { workerData }), 'message')) as [
      Uint8Array,
    ];
    return derivedKey;
  }
  return new Promise((resolve, reject) => {
    scrypt(password.reveal(), salt, derivedKeyBytes, options, (error, derivedKey) => {
      if (error) reject(error);
      else resolve(derivedKey);
    });
  });
}
