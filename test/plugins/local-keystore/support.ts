import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { onTestFinished } from 'vitest';
import { plugin } from '../../../plugins/local-keystore/index.ts';
import {
  type GeneratedKey,
  type KeyProvider,
  type KeyToImport,
  type ProviderContext,
  ProviderError,
  Secret,
} from '../../../src/keys/provider.ts';

/** The key in both keystores below, known from web3.js's documentation. */
export const privateKeyHex = '4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318';
export const address = '2c7536e3605d9c16a7a3d7b1898e529396a65c23';
export const password = 'correct horse';
export const standardName = `UTC--2026-11-20T12-53-37.413242090Z--${address}`;

/** Written by go-ethereum 1.17.10 with `--lightkdf`. */
export const gethLight = {
  address,
  crypto: {
    cipher: 'aes-128-ctr',
    ciphertext: 'af30a9c91d0fcd0c5691e73ee363f5e694a53dce1dfdbe0a549a010615ef9cf8',
    cipherparams: { iv: '56b7148f786215e176d6ed6a61b352be' },
    kdf: 'scrypt',
    kdfparams: {
      dklen: 32,
      n: 4096,
      p: 6,
      r: 8,
      salt: 'd2b8478085510cdab6b44aea0d21add024dabd0a6972dce9b6a0e99cb5304786',
    },
    mac: '0b65bfbfffc6a982044e345bada087c47fa113e514e1373a2591bea3e6592319',
  },
  id: '74c86eec-f625-441e-a195-872d0308b572',
  version: 3,
};

/** Written by go-ethereum 1.17.10 with its standard parameters: 256 MiB, most of a second. */
export const gethStandard = {
  address,
  crypto: {
    cipher: 'aes-128-ctr',
    ciphertext: '2352e94c989c08b1de7533cab0fc218b2784adee391bf1766bd9dda768fcc97a',
    cipherparams: { iv: '7619389bba20512c58e4ed8704718491' },
    kdf: 'scrypt',
    kdfparams: {
      dklen: 32,
      n: 262144,
      p: 1,
      r: 8,
      salt: '5c91d4191a14f396cbd02c63cd5b322f56173e67389164e77c81cd80d7db9d13',
    },
    mac: '509188c23c8da8a1a815a41376454d2d5291cc9252c13b43d1d0fda437eecd33',
  },
  id: 'e6196b57-9667-489c-b669-99bbfe68a6fb',
  version: 3,
};

/** The Web3 Secret Storage definition's own test vectors. */
export const official = {
  password: 'testpassword',
  privateKeyHex: '7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d',
  scrypt: {
    crypto: {
      cipher: 'aes-128-ctr',
      cipherparams: { iv: '83dbcc02d8ccb40e466191a123791e0e' },
      ciphertext: 'd172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c',
      kdf: 'scrypt',
      kdfparams: {
        dklen: 32,
        n: 262144,
        r: 1,
        p: 8,
        salt: 'ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19',
      },
      mac: '2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097',
    },
    id: '3198bc9c-6672-5ab3-d995-4942343ae5b6',
    version: 3,
  },
  pbkdf2: {
    crypto: {
      cipher: 'aes-128-ctr',
      cipherparams: { iv: '6087dab2f9fdbbfaddc31a909735c1e6' },
      ciphertext: '5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46',
      kdf: 'pbkdf2',
      kdfparams: {
        c: 262144,
        dklen: 32,
        prf: 'hmac-sha256',
        salt: 'ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd',
      },
      mac: '517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2',
    },
    id: '3198bc9c-6672-5ab3-d995-4942343ae5b6',
    version: 3,
  },
};

export type LogLine = { level: string; message: string; fields: unknown };

export type Workspace = {
  readonly folder: string;
  readonly log: LogLine[];
  /** Writes text, or a value as JSON, into the folder and returns the path. */
  write(name: string, content: unknown): Promise<string>;
  open(config?: Record<string, unknown>): Promise<KeyProvider>;
  generate(config?: Record<string, unknown>): Promise<GeneratedKey>;
  import(key: KeyToImport, config?: Record<string, unknown>): Promise<GeneratedKey>;
};

/** A temporary folder with a provider context over it; `secret` is what `env:PASSWORD` gives. */
export async function makeWorkspace(secret = password): Promise<Workspace> {
  const folder = await mkdtemp(join(tmpdir(), 'local-keystore-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const log: LogLine[] = [];
  const context: ProviderContext = {
    resolvePath: (path) => resolve(folder, path),
    readSecret: (reference) => {
      if (reference !== 'env:PASSWORD') throw new Error(`no secret ${reference}`);
      return new Secret(secret);
    },
    log: (level, message, fields) => log.push({ level, message, fields }),
  };
  const parse = (config: Record<string, unknown>) =>
    plugin.configSchema.parse({ path: '.', password: 'env:PASSWORD', ...config });
  return {
    folder,
    log,
    write: async (name, content) => {
      const path = join(folder, name);
      const text = typeof content === 'string' ? content : JSON.stringify(content);
      await writeFile(path, text, { mode: 0o600 });
      return path;
    },
    open: async (config = {}) => {
      const provider = await plugin.open(parse(config), context);
      onTestFinished(() => provider.close());
      return provider;
    },
    generate: async (config = {}) => {
      if (plugin.generateKey === undefined) throw new Error('the plugin makes no keys');
      return plugin.generateKey(parse(config), context);
    },
    import: async (key, config = {}) => {
      if (plugin.importKey === undefined) throw new Error('the plugin imports no keys');
      return plugin.importKey(parse(config), key, context);
    },
  };
}

export const live = { signal: new AbortController().signal };

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** The typed error that an action fails with; anything else fails the test. */
export async function failureOf(action: Promise<unknown>): Promise<ProviderError> {
  const error = await action.then(
    () => new Error('it succeeded'),
    (reason: unknown) => reason,
  );
  if (error instanceof ProviderError) return error;
  throw error;
}
