import { isTimeout } from '../../src/keys/describe-abort.ts';
import { ProviderError } from '../../src/keys/provider.ts';

/** A PKCS#11 function answered something else than CKR_OK. Never leaves the plugin. */
export class DeviceError extends Error {
  /** Name of the return value, e.g. `CKR_DEVICE_ERROR`. */
  readonly ckr: string;
  /** Name of the function, e.g. `C_Sign`. */
  readonly call: string;

  constructor(ckr: string, call: string) {
    super(`${call}: ${ckr}`);
    this.name = 'DeviceError';
    this.ckr = ckr;
    this.call = call;
  }
}

/** The error of a native call as a {@link DeviceError}; anything else as it is. */
export function toDeviceError(error: unknown): unknown {
  const ckr = ckrOf(error);
  if (ckr === undefined || !(error instanceof Error) || error instanceof DeviceError) return error;
  const call = /\bC_\w+/.exec(
    `${'method' in error ? String(error.method) : ''} ${error.stack ?? ''}`,
  );
  return new DeviceError(ckr, call?.[0] ?? 'PKCS#11');
}

/** The return value's name; pkcs11js calls all that it does not know CKR_VENDOR_DEFINED, and gives the number. */
export function ckrOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || error instanceof ProviderError) return undefined;
  const name = /\bCKR_\w+/.exec(error.message)?.[0];
  if (name !== 'CKR_VENDOR_DEFINED' || !('code' in error)) return name;
  return error.code === 0x140 ? 'CKR_CURVE_NOT_SUPPORTED' : vendorCode(Number(error.code));
}

/** The name of a return value that pkcs11js does not know. */
export const vendorCode = (rv: number): string => `CKR_VENDOR_DEFINED 0x${rv.toString(16)}`;

/** The form in which an error crosses from the device thread to the main thread. */
export type Failure =
  | { readonly kind: 'device'; readonly ckr: string; readonly call: string }
  | {
      readonly kind: 'provider';
      readonly code: ProviderError['code'];
      readonly message: string;
      readonly details: string | undefined;
    }
  | { readonly kind: 'defect'; readonly details: string };

/** Makes an error of the device thread transferable. */
export function packFailure(error: unknown): Failure {
  if (error instanceof DeviceError) return { kind: 'device', ckr: error.ckr, call: error.call };
  if (error instanceof ProviderError) {
    return { kind: 'provider', code: error.code, message: error.message, details: error.details };
  }
  return { kind: 'defect', details: error instanceof Error ? error.message : String(error) };
}

/** The reverse of {@link packFailure}. */
export function unpackFailure(failure: Failure): Error {
  switch (failure.kind) {
    case 'device':
      return new DeviceError(failure.ckr, failure.call);
    case 'provider':
      return new ProviderError(
        failure.code,
        failure.message,
        failure.details === undefined ? {} : { details: failure.details },
      );
    case 'defect':
      return new ProviderError('PROVIDER_UNAVAILABLE', 'the PKCS#11 device thread failed', {
        details: failure.details,
        retryable: true,
      });
  }
}

/** Answers of C_Login that may have cost an attempt, or would cost one: with the same PIN it is not called again. */
const refusedPins: Readonly<Record<string, string>> = {
  CKR_PIN_INCORRECT:
    'the token refused the PIN; it is not tried again, because tokens lock: correct it and restart',
  CKR_PIN_INVALID: 'the token refused the PIN: it has characters that this token does not take',
  CKR_PIN_LEN_RANGE: 'the token refused the PIN: it is too short or too long for this token',
  CKR_PIN_EXPIRED: "the PIN has expired: set a new one with the vendor's tool and restart",
  CKR_PIN_LOCKED: 'the PIN is locked after too many wrong ones: the security officer must reset it',
};

const refusedLogins: Readonly<Record<string, string>> = {
  ...refusedPins,
  CKR_USER_PIN_NOT_INITIALIZED: 'the token has no user PIN yet: the security officer must set one',
  CKR_USER_TYPE_INVALID: 'the token has no normal user to log in as',
};

const unsuitableKeys: Readonly<Record<string, string>> = {
  CKR_MECHANISM_INVALID:
    "the token can't sign with CKM_ECDSA, which takes a digest as it is; use another token, or allow the mechanism in its policy",
  CKR_KEY_FUNCTION_NOT_PERMITTED: 'the key may not sign: make one with CKA_SIGN true',
  CKR_KEY_TYPE_INCONSISTENT: 'the key is not an EC key',
  CKR_CURVE_NOT_SUPPORTED: 'the token does not support secp256k1',
  CKR_DOMAIN_PARAMS_INVALID: 'the token does not support secp256k1',
};

/** Whether the token refused the PIN itself, so that no further login may be tried with it. */
export function isPinRefusal(error: unknown): boolean {
  return error instanceof DeviceError && error.ckr in refusedPins;
}

/**
 * Whether a new session, or else a restart of the module, can help after `error` when the key was served before. Which
 * code a device that lost its session or its connection answers is anybody's guess: a session of its own, a handle, a
 * login, a mechanism, a token or a key that is "invalid" all of a sudden are all seen. Only a refused PIN, and what the
 * main thread refused on its own account, are final.
 */
export function isCurable(error: unknown): boolean {
  if (error instanceof DeviceError) return !isPinRefusal(error);
  if (!(error instanceof ProviderError)) return false;
  return (
    error.code === 'KEY_NOT_FOUND' ||
    error.code === 'PROVIDER_UNAVAILABLE' ||
    error.code === 'PROVIDER_REPLY_INVALID'
  );
}

/** The error as the port's callers see it; the PKCS#11 words go to `details`, for the operator's log. */
export function toProviderError(error: unknown, keyRef: string): ProviderError {
  if (error instanceof ProviderError) return error;
  if (!(error instanceof DeviceError)) {
    return new ProviderError('PROVIDER_UNAVAILABLE', `${keyRef}: the PKCS#11 plugin failed`, {
      cause: error,
    });
  }
  const details = error.message;
  const refused = refusedLogins[error.ckr];
  if (refused !== undefined) {
    return new ProviderError('KEY_ACCESS_DENIED', `${keyRef}: ${refused}`, { details });
  }
  const unsuitable = unsuitableKeys[error.ckr];
  if (unsuitable !== undefined) {
    return new ProviderError('KEY_UNSUITABLE', `${keyRef}: ${unsuitable}`, { details });
  }
  return new ProviderError(
    'PROVIDER_UNAVAILABLE',
    `${keyRef}: the PKCS#11 device does not serve; check the device, its connection and the module's own settings`,
    { details, retryable: true },
  );
}

/** Why a call ended before the device answered: its deadline, or nobody waits any more. */
export function toAbortError(signal: AbortSignal, keyRef: string): ProviderError {
  return isTimeout(signal)
    ? new ProviderError(
        'PROVIDER_TIMEOUT',
        `${keyRef}: the PKCS#11 device did not answer in time`,
        {
          retryable: true,
        },
      )
    : new ProviderError('REQUEST_ABORTED', `${keyRef}: the call was aborted`);
}
