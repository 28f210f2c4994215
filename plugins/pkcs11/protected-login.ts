import { ProviderError } from '../../src/keys/provider.ts';

/** CK_FUNCTION_LIST: its version, padded to the width of a pointer, then one pointer for each function. */
const pointerBytes = 8;
const indexOfLogin = 18;

/**
 * C_Login without a PIN, for a token whose user proves himself in another way (CKF_PROTECTED_AUTHENTICATION_PATH): a PIN
 * pad, a PED key, an operator card. PKCS#11 asks for a null pointer there, which pkcs11js can't pass; so the function is
 * called by its address in the library that pkcs11js has loaded. `session` is a CK_SESSION_HANDLE. Gives the CK_RV.
 * Throws `PROVIDER_MISSING` where the package koffi is not installed.
 */
export async function loginWithoutPin(
  modulePath: string,
  session: Buffer,
  userType: number,
): Promise<number> {
  let koffi;
  try {
    koffi = (await import('koffi')).default;
  } catch (cause) {
    throw new ProviderError(
      'PROVIDER_MISSING',
      'the token has a protected authentication path, and the package koffi, which a login without a PIN needs, is not installed: run "npm install koffi"',
      { details: cause instanceof Error ? cause.message : String(cause) },
    );
  }
  const list: unknown[] = [null];
  const getFunctionList = koffi
    .load(modulePath)
    .func('C_GetFunctionList', 'ulong', [koffi.out(koffi.pointer('void *'))]);
  const found = Number(getFunctionList(list));
  if (found !== 0) return found;
  const address: unknown = koffi.decode(list[0], pointerBytes * (1 + indexOfLogin), 'void *');
  const login = koffi.proto('ulong', ['ulong', 'ulong', 'void *', 'ulong']);
  return Number(koffi.call(address, login, session.readBigUInt64LE(), userType, null, 0));
}
