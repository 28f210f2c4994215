import { z } from 'zod';
import { ProviderError } from '../../src/keys/provider.ts';
import { parseSecp256k1PublicKey } from '../../src/keys/subject-public-key-info.ts';
import { crc32c } from './crc32c.ts';

/** google.protobuf.Int64Value; the client gives 64-bit integers as text. */
const checksumSchema = z
  .object({ value: z.string().regex(/^\d{1,10}$/) })
  .transform(({ value }) => Number(value));

const keyVersionSchema = z.object({
  name: z.string(),
  state: z.string(),
  algorithm: z.string(),
  protectionLevel: z.string(),
  generateTime: z.object({ seconds: z.string().regex(/^\d{1,12}$/) }).nullish(),
  importJob: z.string().nullish(),
  attestation: z.object({ format: z.string() }).nullish(),
});

const publicKeySchema = z.object({
  name: z.string(),
  pem: z.string(),
  pemCrc32c: checksumSchema,
});

const signatureSchema = z.object({
  name: z.string(),
  signature: z.instanceof(Uint8Array),
  signatureCrc32c: checksumSchema,
  verifiedDigestCrc32c: z.boolean(),
});

export type KeyVersion = z.infer<typeof keyVersionSchema>;

/**
 * Checks a reply of `getCryptoKeyVersion`.
 *
 * @throws ProviderError `PROVIDER_REPLY_INVALID` for another version than `keyVersion`.
 */
export function readKeyVersion(reply: unknown, keyVersion: string): KeyVersion {
  const version = parse(keyVersionSchema, reply);
  assertName(version.name, keyVersion);
  return version;
}

/**
 * Checks a reply of `getPublicKey`: the name, the checksum of the PEM text, and the key in it.
 *
 * @returns the uncompressed SEC1 point, 65 bytes.
 * @throws ProviderError `PROVIDER_REPLY_INVALID`, or `KEY_UNSUITABLE` for a key of another curve.
 */
export function readPublicKey(reply: unknown, keyVersion: string): Uint8Array {
  const { name, pem, pemCrc32c } = parse(publicKeySchema, reply);
  assertName(name, keyVersion);
  assertChecksum('public key', Buffer.from(pem), pemCrc32c);
  const base64 =
    /^-----BEGIN PUBLIC KEY-----\s([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*$/.exec(pem)?.[1];
  if (base64 === undefined) throw invalid('the public key is not PEM');
  return parseSecp256k1PublicKey(Uint8Array.from(Buffer.from(base64, 'base64')));
}

/**
 * Checks a reply of `asymmetricSign` as Google's data integrity guidelines ask for: the version that signed, that the digest
 * arrived as it was sent, and the checksum of the signature. What the signature is worth, the gate verifies.
 *
 * @returns the signature, DER.
 * @throws ProviderError `PROVIDER_REPLY_INVALID`.
 */
export function readSignature(reply: unknown, keyVersion: string): Uint8Array {
  const { name, signature, signatureCrc32c, verifiedDigestCrc32c } = parse(signatureSchema, reply);
  assertName(name, keyVersion);
  if (!verifiedDigestCrc32c) throw invalid("the digest's checksum was not verified");
  assertChecksum('signature', signature, signatureCrc32c);
  return Uint8Array.from(signature);
}

function parse<Reply>(schema: z.ZodType<Reply>, reply: unknown): Reply {
  const { data, error } = schema.safeParse(reply);
  if (error) throw invalid('fields are missing or malformed', z.prettifyError(error));
  return data;
}

function assertName(name: string, keyVersion: string): void {
  if (name !== keyVersion) {
    throw invalid(
      `it is about ${name || 'no key version'}, not ${keyVersion}; keyVersion must be spelled as Cloud KMS spells it, ` +
        "with the project's id",
    );
  }
}

function assertChecksum(what: string, bytes: Uint8Array, expected: number): void {
  if (crc32c(bytes) !== expected) throw invalid(`the ${what} does not match its checksum`);
}

function invalid(reason: string, details?: string): ProviderError {
  return new ProviderError(
    'PROVIDER_REPLY_INVALID',
    `a reply of Cloud KMS can't be trusted: ${reason}`,
    { retryable: true, ...(details === undefined ? {} : { details }) },
  );
}
