import { CallLimiter } from '../../src/keys/call-limiter.ts';
import {
  type CallOptions,
  type GeneratedKey,
  type KeyProvider,
  ProviderError,
  type ProviderSignature,
} from '../../src/keys/provider.ts';
import { parseSecp256k1PublicKey } from '../../src/keys/subject-public-key-info.ts';
import { type AwsKmsConfig, isAlias } from './config.ts';
import type { KeyMetadata, KmsApi } from './kms-api.ts';

/** Opening and making a key have no deadline of their own; attempts and their time are bounded. */
const noDeadline = new AbortController().signal;

/** One secp256k1 key in AWS KMS, pinned by the ARN that `keyId` stood for at start. */
export class AwsKmsProvider implements KeyProvider {
  readonly keyRef: string;
  readonly concurrency: number;
  readonly #kms: KmsApi;
  readonly #keyId: string;
  readonly #arn: string;
  readonly #publicKey: Uint8Array;
  readonly #limiter: CallLimiter;

  private constructor(kms: KmsApi, config: AwsKmsConfig, arn: string, publicKey: Uint8Array) {
    this.keyRef = keyRefOf(arn);
    this.concurrency = config.concurrency;
    this.#kms = kms;
    this.#keyId = config.keyId;
    this.#arn = arn;
    this.#publicKey = publicKey;
    this.#limiter = new CallLimiter(config);
  }

  /**
   * Finds the key, checks that it can sign for Ethereum, pins its ARN and reads its public key. The provider closes `kms`.
   *
   * @throws ProviderError
   */
  static async open(kms: KmsApi, config: AwsKmsConfig): Promise<AwsKmsProvider> {
    const metadata = await kms.describeKey(config.keyId, noDeadline);
    checkKey(metadata);
    const spki = await kms.getPublicKey(metadata.Arn, noDeadline);
    return new AwsKmsProvider(kms, config, metadata.Arn, parseSecp256k1PublicKey(spki));
  }

  getPublicKey({ signal }: CallOptions): Promise<Uint8Array> {
    return new Promise((resolve) => {
      this.#kms.assertServing(this.#arn, signal);
      resolve(this.#publicKey.slice());
    });
  }

  async signDigest(digest: Uint8Array, { signal, turn }: CallOptions): Promise<ProviderSignature> {
    const bytes = await this.#kms.sign(this.#arn, digest, signal, (attempt, wanted) =>
      this.#limiter.run(attempt, wanted, turn),
    );
    return { encoding: 'der', bytes };
  }

  async checkHealth({ signal }: CallOptions): Promise<void> {
    const metadata = await this.#kms.describeKey(this.#keyId, signal);
    if (metadata.Arn !== this.#arn) {
      throw new ProviderError(
        'KEY_UNSUITABLE',
        `${this.#keyId} now stands for ${metadata.Arn}, at start it stood for ${this.#arn}; move the alias back, or restart to pay from the new key's address`,
      );
    }
    checkKey(metadata);
  }

  async describeKey({ signal }: CallOptions): Promise<Readonly<Record<string, string>>> {
    const metadata = await this.#kms.describeKey(this.#arn, signal);
    return {
      arn: metadata.Arn,
      spec: metadata.KeySpec,
      usage: metadata.KeyUsage,
      state: metadata.KeyState,
      origin: metadata.Origin ?? 'unknown',
      multiRegion: metadata.MultiRegionConfiguration?.MultiRegionKeyType ?? 'no',
      created: metadata.CreationDate?.toISOString() ?? 'unknown',
    };
  }

  close(): Promise<void> {
    this.#kms.close();
    return Promise.resolve();
  }
}

/**
 * Makes a secp256k1 signing key and gives it the alias that `keyId` names.
 *
 * @throws ProviderError `KEY_ALREADY_EXISTS` when `keyId` stands for a key already; `KEY_NOT_FOUND` when it is the id or ARN of
 * no key, which only KMS can choose. When a step after the making fails, the message names the new key.
 */
export async function generateAwsKmsKey(kms: KmsApi, config: AwsKmsConfig): Promise<GeneratedKey> {
  const { keyId } = config;
  const existing = await findKey(kms, keyId);
  if (existing !== undefined) {
    throw new ProviderError(
      'KEY_ALREADY_EXISTS',
      `${keyId} stands for ${existing.Arn} already; use that key, or set keyId to another alias`,
    );
  }
  if (!isAlias(config)) {
    throw new ProviderError(
      'KEY_NOT_FOUND',
      `there is no key ${keyId}, and KMS chooses the ids of new keys itself; set keyId to alias/NAME`,
    );
  }
  const arn = await kms.createKey(keyId, noDeadline);
  try {
    await kms.createAlias(keyId.slice(keyId.indexOf('alias/')), arn, noDeadline);
    const spki = await kms.getPublicKey(arn, noDeadline);
    return { keyRef: keyRefOf(arn), publicKey: parseSecp256k1PublicKey(spki) };
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
    throw new ProviderError(
      error.code,
      `${error.message}; the key ${arn} has been made: give it the alias, or schedule its deletion`,
      { cause: error },
    );
  }
}

function keyRefOf(arn: string): string {
  return `aws-kms:${arn}`;
}

async function findKey(kms: KmsApi, keyId: string): Promise<KeyMetadata | undefined> {
  try {
    return await kms.describeKey(keyId, noDeadline);
  } catch (error) {
    if (error instanceof ProviderError && error.code === 'KEY_NOT_FOUND') return undefined;
    throw error;
  }
}

/** What to do about each state in which a key does not sign; in `Updating` it does. */
const fixes: Readonly<Record<string, string>> = {
  Creating: 'wait until KMS has made it',
  Disabled: 'enable it',
  PendingDeletion: 'cancel its deletion and enable it, or use another key',
  PendingImport: 'import its key material',
  PendingReplicaDeletion: 'use a replica of it, or another key',
  Unavailable: 'connect its key store again',
};
const passingStates: readonly string[] = ['Creating', 'Unavailable'];
const signingStates: readonly string[] = ['Enabled', 'Updating'];

function checkKey({ Arn, KeySpec, KeyUsage, KeyState }: KeyMetadata): void {
  const unsuitable = (what: string, fix: string, retryable = false): ProviderError =>
    new ProviderError('KEY_UNSUITABLE', `${Arn} has ${what}; ${fix}`, { retryable });
  if (KeySpec !== 'ECC_SECG_P256K1') {
    throw unsuitable(`spec ${KeySpec}`, 'Ethereum needs a key of spec ECC_SECG_P256K1');
  }
  if (KeyUsage !== 'SIGN_VERIFY') {
    throw unsuitable(`usage ${KeyUsage}`, 'make a key of usage SIGN_VERIFY');
  }
  if (signingStates.includes(KeyState)) return;
  const fix = Object.hasOwn(fixes, KeyState) ? fixes[KeyState] : undefined;
  throw unsuitable(
    `state ${KeyState}`,
    fix ?? 'see describe-key, or use another key',
    passingStates.includes(KeyState),
  );
}
