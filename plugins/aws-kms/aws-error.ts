import { ProviderError } from '../../src/keys/provider.ts';
import { vendorText } from '../../src/keys/vendor-text.ts';

/** The requests that this provider makes; each needs the IAM action of the same name, `kms:Sign` and so on. */
export type Operation = 'DescribeKey' | 'GetPublicKey' | 'Sign' | 'CreateKey' | 'CreateAlias';

/** Name of the errors of {@link credentialsUnavailable}. */
const credentialsUnavailableName = 'CredentialsUnavailable';

type Meaning = {
  readonly code: ProviderError['code'];
  readonly retryable?: true;
  readonly fix: string | ((operation: Operation) => string);
};

const credentials: Meaning = {
  code: 'KEY_ACCESS_DENIED',
  fix: 'AWS does not accept the credentials: check that they are current, and the clock of this machine',
};
const noCredentials: Meaning = {
  code: 'KEY_ACCESS_DENIED',
  fix: 'no AWS credentials were found: give the instance, task or pod a role, or set AWS_PROFILE',
};
const credentialsFailing: Meaning = {
  code: 'PROVIDER_UNAVAILABLE',
  retryable: true,
  fix: 'the source of the AWS credentials (metadata server, container credential service, STS, credential_process) fails: check it when it lasts',
};
const clockRefused: Meaning = {
  code: 'KEY_ACCESS_DENIED',
  retryable: true,
  fix: 'the clock of this machine is wrong by more than AWS allows: set it by NTP',
};
const proxyRefused: Meaning = {
  code: 'PROVIDER_UNAVAILABLE',
  retryable: true,
  fix: 'the proxy in HTTPS_PROXY does not let the request through: check its address, credentials and rules, or name the host in NO_PROXY',
};
const unreachable: Meaning = {
  code: 'PROVIDER_UNAVAILABLE',
  retryable: true,
  fix: 'KMS can not be reached: check region, endpoint, DNS and the way out of the network',
};
const outage: Meaning = {
  code: 'PROVIDER_UNAVAILABLE',
  retryable: true,
  fix: 'KMS has a passing fault: see the AWS Health Dashboard when it lasts',
};
const throttled: Meaning = {
  code: 'PROVIDER_THROTTLED',
  retryable: true,
  fix: "lower requestsPerSecond to this instance's share of the quota, or have the quota raised",
};

const noAnswer: Meaning = {
  code: 'PROVIDER_TIMEOUT',
  retryable: true,
  fix: 'no answer came within attemptTimeoutMs: check the network, or raise it',
};

const meanings: Readonly<Record<string, Meaning>> = {
  NotFoundException: {
    code: 'KEY_NOT_FOUND',
    fix: 'check keyId, region and the account of the credentials',
  },
  InvalidArnException: { code: 'KEY_NOT_FOUND', fix: 'check the ARN in keyId' },
  AccessDeniedException: {
    code: 'KEY_ACCESS_DENIED',
    fix: (operation) => `allow kms:${operation} on this key, in its key policy or by an IAM policy`,
  },
  UnrecognizedClientException: credentials,
  InvalidClientTokenId: credentials,
  InvalidSignatureException: credentials,
  SignatureDoesNotMatch: credentials,
  IncompleteSignature: credentials,
  MissingAuthenticationToken: credentials,
  ExpiredTokenException: credentials,
  CredentialsProviderError: noCredentials,
  TokenProviderError: noCredentials,
  [credentialsUnavailableName]: credentialsFailing,
  IDPCommunicationError: credentialsFailing,
  IDPCommunicationErrorException: credentialsFailing,
  ERR_PROXY_TUNNEL: proxyRefused,
  DisabledException: { code: 'KEY_UNSUITABLE', fix: 'the key is disabled: enable it' },
  KMSInvalidStateException: {
    code: 'KEY_UNSUITABLE',
    fix: "the key can't be used in its present state: see describe-key, cancel its deletion or import its material",
  },
  InvalidKeyUsageException: {
    code: 'KEY_UNSUITABLE',
    fix: 'the key is not made for ECDSA_SHA_256: make one with usage SIGN_VERIFY and spec ECC_SECG_P256K1',
  },
  UnsupportedOperationException: {
    code: 'KEY_UNSUITABLE',
    fix: "this kind of key can't do it: make one with usage SIGN_VERIFY and spec ECC_SECG_P256K1",
  },
  AlreadyExistsException: {
    code: 'KEY_ALREADY_EXISTS',
    fix: 'the alias is taken: use that key, or set keyId to another alias',
  },
  LimitExceededException: {
    code: 'PROVIDER_THROTTLED',
    fix: 'a resource quota of the account is used up: have it raised',
  },
  KeyUnavailableException: outage,
  DependencyTimeoutException: outage,
  KMSInternalException: outage,
  ServiceUnavailableException: outage,
  ServiceUnavailable: outage,
  InternalFailure: outage,
  ThrottlingException: throttled,
  Throttling: throttled,
  TooManyRequestsException: throttled,
  RequestLimitExceeded: throttled,
  TimeoutError: noAnswer,
  ECONNRESET: unreachable,
  ECONNREFUSED: unreachable,
  ECONNABORTED: unreachable,
  EPIPE: unreachable,
  ETIMEDOUT: unreachable,
  EHOSTUNREACH: unreachable,
  ENETUNREACH: unreachable,
  ENOTFOUND: unreachable,
  EAI_AGAIN: unreachable,
};

const unreadable: Meaning = {
  code: 'PROVIDER_REPLY_INVALID',
  fix: 'what answered does not speak as KMS does: check endpoint and any proxy between',
};
const refused: Meaning = {
  code: 'PROVIDER_UNAVAILABLE',
  fix: 'KMS refused the request: see the details in the log',
};

/**
 * Translates what the AWS SDK threw. Of AWS's own words only the name of the exception comes into the message; its text goes,
 * without what may be a secret, into the details. The SDK's error is not kept as the cause: it holds the whole exchange.
 *
 * @param keyId what the request was about, for the message.
 */
export function translateAwsError(
  error: unknown,
  operation: Operation,
  keyId: string,
): ProviderError {
  const { name, status, requestId, text, isClockRefused } = readAwsError(error);
  const { code, retryable, fix } = isClockRefused ? clockRefused : meaningOf(name, status);
  return new ProviderError(
    code,
    `${operation} on ${keyId} failed with ${name}; ${typeof fix === 'string' ? fix : fix(operation)}`,
    {
      retryable: retryable ?? false,
      details: `${name}, status ${status ?? 'none'}, AWS request id ${requestId ?? 'none'}: ${vendorText(text)}`,
    },
  );
}

/** An error that says that the source of credentials, which has to have some, gives none now. */
export function credentialsUnavailable(message: string): Error {
  return Object.assign(new Error(message), { name: credentialsUnavailableName });
}

/** Whether AWS does not accept the credentials, so that others may have taken their place. */
export function areCredentialsRefused(error: unknown): boolean {
  const { name, isClockRefused } = readAwsError(error);
  return !isClockRefused && Object.hasOwn(meanings, name) && meanings[name] === credentials;
}

function meaningOf(name: string, status: number | undefined): Meaning {
  const known = Object.hasOwn(meanings, name) ? meanings[name] : undefined;
  if (known !== undefined) return known;
  if (status === 429) return throttled;
  if (status !== undefined && status >= 500) return outage;
  if (name === 'SyntaxError' || (status !== undefined && status < 300)) return unreadable;
  return refused;
}

/** Names of exceptions that concern only the request's time. */
const clockNames: readonly string[] = [
  'RequestTimeTooSkewed',
  'RequestExpired',
  'RequestInTheFuture',
];

type AwsErrorFacts = {
  readonly name: string;
  readonly status: number | undefined;
  readonly requestId: string | undefined;
  readonly text: string;
  /** The request's time was the reason. The SDK has learnt AWS's time from the answer, and signs the next request with it. */
  readonly isClockRefused: boolean;
};

/** The SDK's errors have no common class: services', the parser's and Node's own are told apart by their fields. */
function readAwsError(error: unknown): AwsErrorFacts {
  if (!(error instanceof Error)) {
    const none = { status: undefined, requestId: undefined, isClockRefused: false };
    return { name: 'unknown', ...none, text: String(error) };
  }
  const fields = error as Error & {
    readonly code?: unknown;
    readonly $metadata?: {
      readonly httpStatusCode?: number;
      readonly requestId?: string;
      readonly clockSkewCorrected?: boolean;
    };
    readonly $response?: { readonly statusCode?: number };
  };
  const name = typeof fields.code === 'string' ? fields.code : error.name;
  return {
    name: /^\w{1,64}$/.test(name) ? name : 'unknown',
    status: fields.$metadata?.httpStatusCode ?? fields.$response?.statusCode,
    requestId: fields.$metadata?.requestId,
    text: error.message,
    isClockRefused:
      fields.$metadata?.clockSkewCorrected === true ||
      clockNames.includes(name) ||
      /^Signature (?:expired|not yet current)/.test(error.message),
  };
}
