import { ProviderError } from '../../src/keys/provider.ts';
import { vendorText } from '../../src/keys/vendor-text.ts';

/** The methods of `google.cloud.kms.v1.KeyManagementService` that this plugin calls. */
export type Operation =
  'getCryptoKeyVersion' | 'getPublicKey' | 'asymmetricSign' | 'createCryptoKey';

type Meaning = {
  readonly code: ProviderError['code'];
  readonly retryable?: true;
  readonly fix: string | ((operation: Operation) => string);
};

/** The narrowest predefined role for each method, and the permission in it that the method asks for. */
const roles: Readonly<Record<Operation, string>> = {
  getCryptoKeyVersion: 'roles/cloudkms.viewer (cloudkms.cryptoKeyVersions.get)',
  getPublicKey: 'roles/cloudkms.publicKeyViewer (cloudkms.cryptoKeyVersions.viewPublicKey)',
  asymmetricSign: 'roles/cloudkms.signer (cloudkms.cryptoKeyVersions.useToSign)',
  createCryptoKey: 'roles/cloudkms.admin (cloudkms.cryptoKeys.create)',
};

const outage: Meaning = {
  code: 'PROVIDER_UNAVAILABLE',
  retryable: true,
  fix: 'check endpoint, DNS and the way out of the network, and the Google Cloud Service Health page when it lasts',
};

/** By the names of https://grpc.io/docs/guides/status-codes/. */
const meanings: Readonly<Record<string, Meaning>> = {
  INVALID_ARGUMENT: {
    code: 'KEY_UNSUITABLE',
    fix: 'check keyVersion and the purpose of the key',
  },
  DEADLINE_EXCEEDED: {
    code: 'PROVIDER_TIMEOUT',
    retryable: true,
    fix: 'no answer came within the time of an attempt: check the network, or raise attemptTimeoutMs',
  },
  NOT_FOUND: {
    code: 'KEY_NOT_FOUND',
    fix: 'check project, location, key ring, key and version in keyVersion',
  },
  ALREADY_EXISTS: {
    code: 'KEY_ALREADY_EXISTS',
    fix: 'use that key, or choose another name for the new one',
  },
  PERMISSION_DENIED: {
    code: 'KEY_ACCESS_DENIED',
    fix: (operation) => `grant ${roles[operation]} on the key, and check that it exists`,
  },
  RESOURCE_EXHAUSTED: {
    code: 'PROVIDER_THROTTLED',
    retryable: true,
    fix: "lower requestsPerSecond to this instance's share of the quota, or have the quota raised",
  },
  FAILED_PRECONDITION: {
    code: 'KEY_UNSUITABLE',
    fix: 'the version may be disabled or destroyed: enable it, or configure another one',
  },
  ABORTED: outage,
  INTERNAL: outage,
  UNAVAILABLE: outage,
  /** By Google's clock a token may have expired on its way; with a fresh one the call is made once more. */
  UNAUTHENTICATED: {
    code: 'KEY_ACCESS_DENIED',
    retryable: true,
    fix: (operation) =>
      `renew the Application Default Credentials and grant them ${roles[operation]}`,
  },
};

/** The request is the same each time but for the digest and its checksum, so that is what was damaged. */
const digestRefused: Meaning = {
  code: 'PROVIDER_REPLY_INVALID',
  retryable: true,
  fix: 'the digest may have been damaged on its way: check any proxy between',
};
const noToken: Meaning = {
  code: 'KEY_ACCESS_DENIED',
  fix: 'the Application Default Credentials gave no access token: check that they are valid and not revoked',
};
const noTokenNow: Meaning = {
  ...outage,
  fix: 'the service that gives access tokens (metadata server, STS, OAuth) fails: check it when it lasts',
};
const refused: Meaning = {
  code: 'PROVIDER_UNAVAILABLE',
  fix: 'Cloud KMS refused the request: see the details in the log',
};

/**
 * Translates what a call of Cloud KMS rejected with. Of Google's own words only the name of the gRPC status comes into the
 * message; its text goes, without what may be a secret, into the details. The original error is not kept as the cause: it
 * holds the request's metadata.
 *
 * @param resource what the request was about, for the message.
 */
export function translateError(
  error: unknown,
  operation: Operation,
  resource: string,
): ProviderError {
  const status = statusOf(error);
  const details = vendorText(error);
  const { code, retryable, fix } = meaningOf(status, operation, details);
  return new ProviderError(
    code,
    `${operation} for ${resource} failed with ${status}; ${typeof fix === 'string' ? fix : fix(operation)}`,
    { details, retryable: retryable ?? false },
  );
}

/** What finding the credentials rejected with, as `AccessTokens` throws it. */
export function translateCredentialsError(error: unknown): ProviderError {
  const details = vendorText(error);
  if (statusOf(error) === 'UNAVAILABLE') {
    const text = `no Application Default Credentials for now: ${noTokenNow.fix as string}`;
    return new ProviderError(noTokenNow.code, text, { details, retryable: true });
  }
  return new ProviderError(
    'KEY_ACCESS_DENIED',
    'no Application Default Credentials were found: run with a service account attached, or set ' +
      'GOOGLE_APPLICATION_CREDENTIALS to a credentials file',
    { details },
  );
}

/** Whether Cloud KMS refused the access token that a call was made with. */
export function isTokenRefused(error: unknown): boolean {
  return statusOf(error) === 'UNAUTHENTICATED' && !isOfTokenSource(vendorText(error));
}

/** gRPC wraps what its source of tokens rejected with. */
function isOfTokenSource(text: string): boolean {
  return text.includes('metadata from plugin');
}

function meaningOf(status: string, operation: Operation, text: string): Meaning {
  if (isOfTokenSource(text)) return status === 'UNAVAILABLE' ? noTokenNow : noToken;
  if (status === 'INVALID_ARGUMENT' && operation === 'asymmetricSign') return digestRefused;
  return Object.hasOwn(meanings, status) ? (meanings[status] ?? refused) : refused;
}

const statusNames = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

/** The name of the gRPC status in an error's `code`. */
function statusOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return (typeof code === 'number' ? statusNames[code] : undefined) ?? 'UNKNOWN';
}
