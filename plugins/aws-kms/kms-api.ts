import { z } from 'zod';
import { ProviderError } from '../../src/keys/provider.ts';
import type { AwsKmsConfig } from './config.ts';
import { credentialsTimeoutMs, KmsConnection } from './kms-connection.ts';
import { KmsRequests, type TakeTurn } from './kms-requests.ts';

type AwsSdk = typeof import('@aws-sdk/client-kms');

/** The only algorithm of KMS that signs a 32-byte digest with secp256k1. */
const signingAlgorithm = 'ECDSA_SHA_256';

const arn = z.string().regex(/^arn:[\w-]+:kms:[\w-]+:\d{12}:key\/[\w-]+$/);
const bytes = z.instanceof(Uint8Array);
const keyMetadata = z.object({
  Arn: arn,
  KeySpec: z.string(),
  KeyUsage: z.string(),
  KeyState: z.string(),
  Origin: z.string().optional(),
  MultiRegionConfiguration: z.object({ MultiRegionKeyType: z.string() }).optional(),
  CreationDate: z.date().optional(),
});
const describeKeyReply = z.object({ KeyMetadata: keyMetadata });
const getPublicKeyReply = z.object({ KeyId: z.string(), PublicKey: bytes });
const signReply = z.object({
  KeyId: z.string(),
  Signature: bytes,
  SigningAlgorithm: z.literal(signingAlgorithm),
});
const createKeyReply = z.object({ KeyMetadata: z.object({ Arn: arn }) });

/** What KMS says of a key, in its own words. */
export type KeyMetadata = z.infer<typeof keyMetadata>;

/** The five requests of KMS that this provider makes, with checked replies. Every method throws {@link ProviderError}. */
export class KmsApi {
  readonly #sdk: AwsSdk;
  readonly #connection: KmsConnection;
  readonly #requests: KmsRequests;

  private constructor(sdk: AwsSdk, connection: KmsConnection, requests: KmsRequests) {
    this.#sdk = sdk;
    this.#connection = connection;
    this.#requests = requests;
  }

  /**
   * Loads the SDK, makes a client and has it find credentials, so that their absence is told as such.
   *
   * @param timeoutMs longest time that finding or renewing credentials may take.
   * @throws ProviderError `PROVIDER_MISSING` without the SDK, `KEY_ACCESS_DENIED` without credentials, `PROVIDER_UNAVAILABLE` when
   * their source fails, or the environment names a proxy or an endpoint that can't be used.
   */
  static async connect(config: AwsKmsConfig, timeoutMs = credentialsTimeoutMs): Promise<KmsApi> {
    const sdk = await loadSdk();
    const connection = new KmsConnection(sdk, config, timeoutMs);
    const requests = new KmsRequests(config);
    try {
      await requests.send(
        {
          operation: 'DescribeKey',
          keyId: config.keyId,
          signal: new AbortController().signal,
          attemptTimeoutMs: timeoutMs + config.attemptTimeoutMs,
        },
        () => connection.send(() => Promise.resolve()),
      );
    } catch (error) {
      connection.close();
      throw error;
    }
    return new KmsApi(sdk, connection, requests);
  }

  /** Asks what `keyId`, an id, ARN or alias, stands for. A reply for another id or ARN is `PROVIDER_REPLY_INVALID`. */
  async describeKey(keyId: string, signal: AbortSignal): Promise<KeyMetadata> {
    const command = new this.#sdk.DescribeKeyCommand({ KeyId: keyId });
    const reply = await this.#requests.send(
      { operation: 'DescribeKey', keyId, signal },
      (abortSignal) => this.#connection.send((client) => client.send(command, { abortSignal })),
    );
    const { KeyMetadata } = parseReply(describeKeyReply, reply, `DescribeKey on ${keyId}`);
    if (!keyId.includes('alias/')) checkReplyKey(KeyMetadata.Arn, keyId, 'DescribeKey');
    return KeyMetadata;
  }

  /** Reads the public key as a DER SubjectPublicKeyInfo. A reply of another ARN is `PROVIDER_REPLY_INVALID`. */
  async getPublicKey(keyArn: string, signal: AbortSignal): Promise<Uint8Array> {
    const command = new this.#sdk.GetPublicKeyCommand({ KeyId: keyArn });
    const reply = await this.#requests.send(
      { operation: 'GetPublicKey', keyId: keyArn, signal },
      (abortSignal) => this.#connection.send((client) => client.send(command, { abortSignal })),
    );
    const { KeyId, PublicKey } = parseReply(getPublicKeyReply, reply, `GetPublicKey on ${keyArn}`);
    checkReplyKey(KeyId, keyArn, 'GetPublicKey');
    return PublicKey;
  }

  /** Signs a 32-byte digest; the signature is DER. A reply of another ARN is `PROVIDER_REPLY_INVALID`. */
  async sign(
    keyArn: string,
    digest: Uint8Array,
    signal: AbortSignal,
    takeTurn: TakeTurn,
  ): Promise<Uint8Array> {
    const command = new this.#sdk.SignCommand({
      KeyId: keyArn,
      Message: digest,
      MessageType: 'DIGEST',
      SigningAlgorithm: signingAlgorithm,
    });
    const reply = await this.#requests.send(
      { operation: 'Sign', keyId: keyArn, signal, takeTurn },
      (abortSignal) => this.#connection.send((client) => client.send(command, { abortSignal })),
    );
    const { KeyId, Signature } = parseReply(signReply, reply, `Sign on ${keyArn}`);
    checkReplyKey(KeyId, keyArn, 'Sign');
    return Signature;
  }

  /**
   * Makes a secp256k1 signing key and gives its ARN. It is asked once only, for KMS has no way to say that a second request
   * is the first one again.
   */
  async createKey(keyId: string, signal: AbortSignal): Promise<string> {
    const command = new this.#sdk.CreateKeyCommand({
      KeySpec: 'ECC_SECG_P256K1',
      KeyUsage: 'SIGN_VERIFY',
      Description: 'Livepeer payment key',
    });
    const reply = await this.#requests.send(
      { operation: 'CreateKey', keyId, signal, maxAttempts: 1 },
      (abortSignal) => this.#connection.send((client) => client.send(command, { abortSignal })),
    );
    return parseReply(createKeyReply, reply, `CreateKey for ${keyId}`).KeyMetadata.Arn;
  }

  /** Gives the key `keyArn` the name `alias/…`; `KEY_ALREADY_EXISTS` when the name is taken. */
  async createAlias(aliasName: string, keyArn: string, signal: AbortSignal): Promise<void> {
    const command = new this.#sdk.CreateAliasCommand({
      AliasName: aliasName,
      TargetKeyId: keyArn,
    });
    await this.#requests.send(
      { operation: 'CreateAlias', keyId: aliasName, signal, maxAttempts: 1 },
      (abortSignal) => this.#connection.send((client) => client.send(command, { abortSignal })),
    );
  }

  /** Throws `PROVIDER_CLOSED` after `close`, and what an aborted signal means. */
  assertServing(keyId: string, signal: AbortSignal): void {
    this.#requests.assertWanted({ operation: 'GetPublicKey', keyId, signal });
  }

  /** Ends the connections; requests under way and later ones fail with `PROVIDER_CLOSED`. May be called twice. */
  close(): void {
    this.#requests.close();
    this.#connection.close();
  }
}

async function loadSdk(): Promise<AwsSdk> {
  try {
    return await import('@aws-sdk/client-kms');
  } catch (cause) {
    throw new ProviderError(
      'PROVIDER_MISSING',
      'the AWS SDK is not installed: run "npm install @aws-sdk/client-kms" where the signer is installed, with -g if it is installed so',
      { cause },
    );
  }
}

/** KMS answers with the key's ARN, also when it was asked by the id. */
function checkReplyKey(found: string, expected: string, operation: string): void {
  if (found === expected || found.endsWith(`:key/${expected}`)) return;
  throw new ProviderError(
    'PROVIDER_REPLY_INVALID',
    `${operation} answered for another key than ${expected}; check endpoint and any proxy between`,
    { details: `the reply names ${found}` },
  );
}

function parseReply<Reply>(schema: z.ZodType<Reply>, reply: unknown, subject: string): Reply {
  const parsed = schema.safeParse(reply);
  if (parsed.success) return parsed.data;
  throw new ProviderError(
    'PROVIDER_REPLY_INVALID',
    `${subject}: the answer is not one of KMS; check endpoint and any proxy between`,
    { details: z.prettifyError(parsed.error) },
  );
}
