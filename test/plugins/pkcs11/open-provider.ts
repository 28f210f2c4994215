import { secp256k1 } from '@noble/curves/secp256k1';
import { resolve } from 'node:path';
import { expect } from 'vitest';
import { plugin } from '../../../plugins/pkcs11/index.ts';
import {
  type KeyProvider,
  type ProviderContext,
  ProviderError,
  Secret,
} from '../../../src/keys/provider.ts';
import type { SoftHsm } from '../../support/softhsm.ts';

export type LogLine = { level: string; message: string; fields: unknown };

export type Settings = Readonly<Record<string, unknown>>;

/** A context whose only secret is the store's PIN, `env:PIN`. */
export function createContext(
  pin: string,
  { log = [], directory = '/' }: { log?: LogLine[]; directory?: string } = {},
): ProviderContext {
  return {
    resolvePath: (path) => resolve(directory, path),
    readSecret: () => new Secret(pin),
    log: (level, message, fields) => log.push({ level, message, fields }),
  };
}

/** The configuration of the key `payer` in the store's token, with changes; an undefined value removes a field. */
export function configure(hsm: SoftHsm, changes: Settings = {}): Settings {
  const settings: Settings = {
    module: hsm.module,
    token: hsm.tokenLabel,
    label: 'payer',
    pin: 'env:PIN',
    environment: { SOFTHSM2_CONF: hsm.configFile },
    ...changes,
  };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/** Opens the provider as the program does, through the schema. */
export async function openProvider(
  hsm: SoftHsm,
  changes: Settings = {},
  { pin = hsm.pin, log = [] }: { pin?: string; log?: LogLine[] } = {},
): Promise<KeyProvider> {
  const config = plugin.configSchema.parse(configure(hsm, changes));
  return plugin.open(config, createContext(pin, { log, directory: hsm.directory }));
}

/** The error that `work` rejects with; fails when it does not, or when it is no ProviderError. */
export async function failureOf(work: Promise<unknown>): Promise<ProviderError> {
  const outcome = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(outcome).toBeInstanceOf(ProviderError);
  return outcome as ProviderError;
}

export const patient = { signal: new AbortController().signal };

/** A digest that is different for each `index`. */
export function digestOf(index: number): Uint8Array {
  const digest = new Uint8Array(32).fill(7);
  new DataView(digest.buffer).setUint32(0, index);
  return digest;
}

/** Signs and checks the signature against the provider's public key. */
export async function expectGoodSignature(provider: KeyProvider, index = 1): Promise<void> {
  const publicKey = await provider.getPublicKey(patient);
  const { encoding, bytes } = await provider.signDigest(digestOf(index), patient);
  expect(encoding).toBe('raw');
  expect(bytes).toHaveLength(64);
  expect(secp256k1.verify(bytes, digestOf(index), publicKey, { lowS: false })).toBe(true);
}
