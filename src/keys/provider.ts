import type { z } from 'zod';
import { type CodeOf, SignerError } from '../errors.ts';
import { Secret } from '../secret.ts';

export { Secret };

/** The version of this port. A plugin states the one it was written for; another one is refused at start. */
export const portVersion = 1;

/** A signature as the device returned it, before the gate normalises and verifies it. */
export type ProviderSignature =
  /** ASN.1 DER, SEQUENCE { INTEGER r, INTEGER s } */
  | { readonly encoding: 'der'; readonly bytes: Uint8Array }
  | {
      /** r ‖ s, both big-endian and of the same width */
      readonly encoding: 'raw';
      readonly bytes: Uint8Array;
      /** present where the device knows it: the public key that it leads to is tried first, and checked like any other */
      readonly recoveryId?: 0 | 1;
    };

export type CallOptions = {
  /** Aborted when the request's deadline has passed or nobody waits for the result any more. */
  readonly signal: AbortSignal;
  /** Whose call it is; undefined for the signer's own. */
  readonly turn?: CallTurn | undefined;
};

/**
 * Where calls have to wait, in the gate and in providers that hold calls back, tenants take turns, and within a tenant its lanes
 * do.
 */
export type CallTurn = {
  /** '' where there is no tenant */
  readonly tenant: string;
  /** the same object for all calls of one payment */
  readonly lane: object;
};

/**
 * One secp256k1 key in one device. It knows nothing of tickets or policy: the gate (`gate.ts`) is the only
 * caller of `signDigest` and `signDigests`, and it verifies every reply against the public key read at start.
 */
export interface KeyProvider {
  /** Provider and key in one line without secrets, e.g. `pkcs11:token=livepeer;object=payer`. */
  readonly keyRef: string;
  /** How many signing calls the device takes at once; the gate never has more under way. */
  readonly concurrency: number;
  /** The public key as an uncompressed SEC1 point: 0x04 ‖ x ‖ y, 65 bytes. Throws {@link ProviderError}. */
  getPublicKey(options: CallOptions): Promise<Uint8Array>;
  /** Signs a 32-byte digest as it is, without hashing again. Throws {@link ProviderError}. */
  signDigest(digest: Uint8Array, options: CallOptions): Promise<ProviderSignature>;
  /**
   * Signs several digests in one call, one signature each, in their order; all of them or none. It is for keys that gain nothing
   * from concurrent calls: where a provider has this method, the gate uses it alone, once for each batch, and each call counts as
   * one of `concurrency`. Throws {@link ProviderError}.
   */
  signDigests?(
    digests: readonly Uint8Array[],
    options: CallOptions,
  ): Promise<readonly ProviderSignature[]>;
  /** Ends sessions and connections; calls under way reject with `PROVIDER_CLOSED`. May be called twice. */
  close(): Promise<void>;
  /** Asks the device, without using the key, whether it can serve now. Throws {@link ProviderError}. */
  checkHealth?(options: CallOptions): Promise<void>;
  /** Attributes of the key that an operator wants to see (curve, protection, extractable …), no secrets. */
  describeKey?(options: CallOptions): Promise<Readonly<Record<string, string>>>;
}

/** What a plugin gets from the program that loads it. */
export type ProviderContext = {
  /** Turns a path of the configuration into an absolute one: relative paths start at the config file's folder. */
  resolvePath(path: string): string;
  /**
   * Reads a secret named by reference, `env:NAME` or `file:PATH` (a trailing line break is cut off).
   * Throws `SECRET_UNREADABLE` with the reference, never with the content.
   */
  readSecret(reference: string): Secret;
  /** One line for the operator's log; `fields` must not hold secrets. */
  log(level: 'info' | 'warn', message: string, fields?: Readonly<Record<string, unknown>>): void;
};

export type GeneratedKey = {
  readonly keyRef: string;
  /** Uncompressed SEC1 point, 65 bytes. */
  readonly publicKey: Uint8Array;
};

/** A key in a file that is to be imported. */
export type KeyToImport =
  | {
      readonly kind: 'keystore';
      /** absolute path of a Web3 Secret Storage file */
      readonly path: string;
      /** opens that file; the configured password when left out */
      readonly password: Secret | undefined;
    }
  /** `privateKey` is 32 bytes in hex, `0x` or not; `path` is where it was read from */
  | { readonly kind: 'private-key'; readonly path: string; readonly privateKey: Secret };

/** What a plugin module exports as `plugin`. */
export interface KeyProviderPlugin<Config = unknown> {
  readonly portVersion: number;
  readonly name: string;
  /** Strict schema of the plugin's own section of the configuration, `provider` itself left out. */
  readonly configSchema: z.ZodType<Config>;
  /**
   * Looks, without the device, for what `open` would miss: files and secrets. A secret that can't be read is '' here. Throws
   * {@link ProviderError}, whose `data.field` may name the section's field.
   */
  check?(config: Config, context: ProviderContext): Promise<void> | void;
  /** Opens the key. Throws {@link ProviderError}: what is wrong, where, and what to do about it. */
  open(config: Config, context: ProviderContext): Promise<KeyProvider>;
  /** Makes a new secp256k1 key where the configuration points; throws `KEY_ALREADY_EXISTS` rather than replace one. */
  generateKey?(config: Config, context: ProviderContext): Promise<GeneratedKey>;
  /** Imports a key to where the configuration points; throws `KEY_ALREADY_EXISTS` rather than replace one. */
  importKey?(config: Config, key: KeyToImport, context: ProviderContext): Promise<GeneratedKey>;
}

/** A failure of the key or of the device that holds it, translated from the vendor's own words. */
export class ProviderError extends SignerError<CodeOf<'provider'>> {}
