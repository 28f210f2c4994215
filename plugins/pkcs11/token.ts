import { randomBytes } from 'node:crypto';
import type * as Pkcs11js from 'pkcs11js';
import { ProviderError } from '../../src/keys/provider.ts';
import type { KeyTarget } from './config.ts';
import { DeviceError, ckrOf, vendorCode } from './errors.ts';
import { type KeyAttributes, secp256k1Params } from './key-attributes.ts';
import { loginWithoutPin } from './protected-login.ts';
import { unpad } from './unpad.ts';

export type ConnectRequest = {
  readonly keyRef: string;
  readonly target: KeyTarget;
  readonly pin: string | undefined;
  /** False when the session's handle belongs to an earlier C_Initialize: it may now be somebody else's. */
  readonly ownsSession: boolean;
  /** Makes the key pair first; throws `KEY_ALREADY_EXISTS`. */
  readonly generate: boolean;
};

export type Connection = {
  readonly key: KeyAttributes;
  /** ulMaxSessionCount; undefined where the token states no limit. */
  readonly maxSessions: number | undefined;
};

export type Description = {
  readonly key: KeyAttributes;
  readonly token: {
    readonly label: string;
    readonly model: string;
    readonly serial: string;
    readonly firmware: string;
  };
};

type Binding = typeof Pkcs11js;
type Handle = Pkcs11js.Handle;
type Template = Pkcs11js.Template;

/** CKA_LABEL as it is, CKA_ID in hex. */
type ObjectName = { readonly label?: string | undefined; readonly id?: string | undefined };

const listedLabels = 20;
/** Room for r ‖ s of any curve; the main thread judges what comes. */
const maxSignatureBytes = 256;
/** One session on one token, in the thread that owns it. All calls block; all throw {@link DeviceError}s. */
export class Token {
  readonly #ck: Binding;
  readonly #modulePath: string;
  readonly #module: Pkcs11js.PKCS11;
  readonly #mechanism: Pkcs11js.Mechanism;
  readonly #signature = Buffer.alloc(maxSignatureBytes);
  #slot: Handle | undefined;
  #session: Handle | undefined;
  #privateKey: Handle | undefined;

  /** Loads the shared library, without initialising it. */
  constructor(binding: Binding, modulePath: string) {
    this.#ck = binding;
    this.#modulePath = modulePath;
    this.#mechanism = { mechanism: binding.CKM_ECDSA };
    this.#module = new binding.PKCS11();
    this.#module.load(modulePath);
  }

  /** Initialises the module unless it is; true means that all earlier handles of the process are void. */
  initialise(): boolean {
    try {
      this.#module.C_Initialize({ flags: this.#ck.CKF_OS_LOCKING_OK });
      return true;
    } catch (error) {
      if (ckrOf(error) === 'CKR_CRYPTOKI_ALREADY_INITIALIZED') return false;
      throw error;
    }
  }

  /**
   * Opens a session in place of the one at hand, logs in unless the process is logged in, and finds the key.
   * Throws {@link ProviderError}s too.
   */
  async connect(request: ConnectRequest): Promise<Connection> {
    this.disconnect(request.ownsSession);
    this.#slot = this.#findSlot(request);
    const token = this.#module.C_GetTokenInfo(this.#slot);
    this.#requireEcdsa(this.#slot);
    const flags = this.#ck.CKF_SERIAL_SESSION | (request.generate ? this.#ck.CKF_RW_SESSION : 0);
    const session = this.#module.C_OpenSession(this.#slot, flags);
    this.#session = session;
    try {
      await this.#login(session, token.flags, request);
      if (request.generate) this.#generate(session, request);
      const privateKey = this.#findPrivateKey(session, request);
      this.#privateKey = privateKey;
      // CK_EFFECTIVELY_INFINITE is 0; CK_UNAVAILABLE_INFORMATION arrives cut to 32 bits
      const isLimited = token.maxSessionCount > 0 && token.maxSessionCount < 0xffffffff;
      return {
        key: this.#readKey(session, privateKey),
        maxSessions: isLimited ? token.maxSessionCount : undefined,
      };
    } catch (error) {
      this.disconnect(true);
      throw error;
    }
  }

  /** Signs a digest; the bytes are as the token gave them. */
  sign(digest: Uint8Array): Uint8Array {
    const session = this.#openSession();
    if (this.#privateKey === undefined) throw new DeviceError('CKR_KEY_HANDLE_INVALID', 'sign');
    this.#module.C_SignInit(session, this.#mechanism, this.#privateKey);
    return Uint8Array.from(this.#module.C_Sign(session, Buffer.from(digest), this.#signature));
  }

  /** Throws unless the token is there and the session is alive and logged in. */
  check(): void {
    const session = this.#openSession();
    const { flags } = this.#module.C_GetTokenInfo(this.#slotInUse());
    if ((flags & this.#ck.CKF_LOGIN_REQUIRED) !== 0 && !this.#isUser(session)) {
      throw new DeviceError('CKR_USER_NOT_LOGGED_IN', 'C_GetSessionInfo');
    }
  }

  describe(): Description {
    const session = this.#openSession();
    if (this.#privateKey === undefined) throw new DeviceError('CKR_KEY_HANDLE_INVALID', 'describe');
    const { label, model, serialNumber, firmwareVersion } = this.#module.C_GetTokenInfo(
      this.#slotInUse(),
    );
    return {
      key: this.#readKey(session, this.#privateKey),
      token: {
        label: unpad(label),
        model: unpad(model),
        serial: unpad(serialNumber),
        firmware: `${firmwareVersion.major}.${firmwareVersion.minor}`,
      },
    };
  }

  /** Starts the module afresh. All sessions of the process are gone; no other thread may be inside the module. */
  restart(): void {
    this.finalise();
    this.initialise();
  }

  finalise(): void {
    this.#forgetSession();
    if (attempt(() => this.#module.C_Finalize()).isDone) return;
    // a module that can't reach its device may still release the sessions, and the login with them
    const slot = this.#slot;
    if (slot !== undefined) attempt(() => this.#module.C_CloseAllSessions(slot));
    attempt(() => this.#module.C_Finalize());
  }

  disconnect(ownsSession: boolean): void {
    const session = this.#session;
    this.#forgetSession();
    if (session === undefined || !ownsSession) return;
    attempt(() => this.#module.C_CloseSession(session)); // or it is gone already
  }

  #forgetSession(): void {
    this.#session = undefined;
    this.#privateKey = undefined;
  }

  #openSession(): Handle {
    if (this.#session === undefined) throw new DeviceError('CKR_SESSION_CLOSED', 'C_OpenSession');
    return this.#session;
  }

  #slotInUse(): Handle {
    if (this.#slot === undefined) throw new DeviceError('CKR_SLOT_ID_INVALID', 'C_GetSlotList');
    return this.#slot;
  }

  #findSlot({ keyRef, target }: ConnectRequest): Handle {
    const present: string[] = [];
    const matches: { slot: Handle; serial: string }[] = [];
    for (const slot of this.#module.C_GetSlotList(true)) {
      const info = attempt(() => this.#module.C_GetTokenInfo(slot)).result;
      if (info === undefined || (info.flags & this.#ck.CKF_TOKEN_INITIALIZED) === 0) continue;
      const label = unpad(info.label);
      const serial = unpad(info.serialNumber);
      const slotId = readUlong(slot);
      present.push(`${JSON.stringify(label)} (serial ${serial}, slot ${slotId})`);
      if (
        (target.token ?? label) === label &&
        (target.serial ?? serial) === serial &&
        (target.model ?? unpad(info.model)) === unpad(info.model) &&
        (target.manufacturer ?? unpad(info.manufacturerID)) === unpad(info.manufacturerID) &&
        (target.slot ?? slotId) === slotId
      ) {
        matches.push({ slot, serial });
      }
    }
    const [match, another] = matches;
    if (match === undefined) {
      throw new ProviderError(
        'KEY_NOT_FOUND',
        `${keyRef}: the module shows no such token; tokens present: ${present.join(', ') || 'none'}`,
      );
    }
    if (another !== undefined) {
      const serials = matches.map(({ serial }) => serial);
      throw new ProviderError(
        'KEY_AMBIGUOUS',
        `${keyRef}: several tokens match, with the serial numbers ${serials.join(', ')}; name one with ${
          areDifferent(serials) ? 'serial' : 'slot'
        }`,
      );
    }
    return match.slot;
  }

  #requireEcdsa(slot: Handle): void {
    const { flags } = this.#module.C_GetMechanismInfo(slot, this.#ck.CKM_ECDSA);
    if ((flags & this.#ck.CKF_SIGN) !== 0) return;
    throw new DeviceError('CKR_MECHANISM_INVALID', 'C_GetMechanismInfo');
  }

  /** Login holds for the whole process on this token, so it is skipped where another session has done it. */
  async #login(
    session: Handle,
    tokenFlags: number,
    { keyRef, pin }: ConnectRequest,
  ): Promise<void> {
    if ((tokenFlags & this.#ck.CKF_LOGIN_REQUIRED) === 0 || this.#isUser(session)) return;
    const refusal = loginRefusal(tokenFlags, pin);
    if (refusal !== undefined) {
      throw new ProviderError('KEY_ACCESS_DENIED', `${keyRef}: ${refusal}`);
    }
    const { CKU_USER } = this.#ck;
    if (pin === undefined) {
      const rv = await loginWithoutPin(this.#modulePath, session, CKU_USER);
      if (rv === 0 || rv === this.#ck.CKR_USER_ALREADY_LOGGED_IN) return;
      throw new DeviceError(this.#nameOf(rv), 'C_Login');
    }
    try {
      this.#module.C_Login(session, CKU_USER, pin);
    } catch (error) {
      if (ckrOf(error) !== 'CKR_USER_ALREADY_LOGGED_IN') throw error;
    }
  }

  #nameOf(rv: number): string {
    const constants: [string, unknown][] = Object.entries(this.#ck);
    const known = constants.find(([name, value]) => value === rv && name.startsWith('CKR_'));
    return known?.[0] ?? vendorCode(rv);
  }

  #isUser(session: Handle): boolean {
    const { state } = this.#module.C_GetSessionInfo(session);
    return state === roUserState || state === rwUserState;
  }

  #findPrivateKey(session: Handle, { keyRef, target }: ConnectRequest): Handle {
    const { CKO_PRIVATE_KEY } = this.#ck;
    const matches = this.#findNamed(session, CKO_PRIVATE_KEY, target);
    const [match, another] = matches;
    if (match === undefined) {
      const labels = this.#findNamed(session, CKO_PRIVATE_KEY, {})
        .slice(0, listedLabels)
        .map((key) => JSON.stringify(this.#readText(session, key, this.#ck.CKA_LABEL)));
      throw new ProviderError(
        'KEY_NOT_FOUND',
        `${keyRef}: the token has no such private key; labels of those it has: ${labels.join(', ') || 'none'}`,
      );
    }
    if (another !== undefined) {
      const ids = matches.map((key) => this.#readHex(session, key, this.#ck.CKA_ID) || '(empty)');
      throw new ProviderError(
        'KEY_AMBIGUOUS',
        `${keyRef}: several private keys match, with the ids ${ids.join(', ')}; ${
          areDifferent(ids)
            ? 'name one with id'
            : "only one may stay: give the others an id or a label of their own with the vendor's tool"
        }`,
      );
    }
    return match;
  }

  #readKey(session: Handle, key: Handle): KeyAttributes {
    const ck = this.#ck;
    const flag = (type: number): boolean | undefined => {
      const value = this.#read(session, key, type);
      return value === undefined ? undefined : value[0] !== 0;
    };
    const id = this.#readHex(session, key, ck.CKA_ID);
    const label = this.#readText(session, key, ck.CKA_LABEL);
    const keyType = this.#read(session, key, ck.CKA_KEY_TYPE);
    // the two halves of a pair share CKA_ID; where it is empty, the label and nothing else connects them
    const publicKeys = this.#findNamed(session, ck.CKO_PUBLIC_KEY, id === '' ? { label } : { id });
    const readAll = (type: number): Buffer[] =>
      [...publicKeys, key].flatMap((object) => this.#read(session, object, type) ?? []);
    const ecParams = this.#read(session, key, ck.CKA_EC_PARAMS) ?? readAll(ck.CKA_EC_PARAMS)[0];
    return {
      label,
      id,
      keyType: keyType === undefined ? undefined : readUlong(keyType),
      ecParams,
      ecPoints: readAll(ck.CKA_EC_POINT),
      sign: flag(ck.CKA_SIGN),
      sensitive: flag(ck.CKA_SENSITIVE),
      alwaysSensitive: flag(ck.CKA_ALWAYS_SENSITIVE),
      extractable: flag(ck.CKA_EXTRACTABLE),
      neverExtractable: flag(ck.CKA_NEVER_EXTRACTABLE),
      local: flag(ck.CKA_LOCAL),
      alwaysAuthenticate: flag(ck.CKA_ALWAYS_AUTHENTICATE),
    };
  }

  #generate(session: Handle, { keyRef, target }: ConnectRequest): void {
    const ck = this.#ck;
    for (const name of ['label', 'id'] as const) {
      const value = target[name];
      if (value === undefined) continue;
      for (const objectClass of [ck.CKO_PRIVATE_KEY, ck.CKO_PUBLIC_KEY]) {
        if (this.#findNamed(session, objectClass, { [name]: value }).length === 0) continue;
        throw new ProviderError(
          'KEY_ALREADY_EXISTS',
          `${keyRef}: the token has a key with this ${name} already; use it, or choose another ${name}`,
        );
      }
    }
    const names = this.#namedBy({ ...target, id: target.id ?? randomBytes(16).toString('hex') });
    const common = [
      ...names,
      { type: ck.CKA_KEY_TYPE, value: ck.CKK_EC },
      { type: ck.CKA_TOKEN, value: true },
    ];
    this.#module.C_GenerateKeyPair(
      session,
      { mechanism: ck.CKM_EC_KEY_PAIR_GEN },
      [
        ...common,
        { type: ck.CKA_CLASS, value: ck.CKO_PUBLIC_KEY },
        { type: ck.CKA_EC_PARAMS, value: secp256k1Params },
        { type: ck.CKA_PRIVATE, value: false },
        { type: ck.CKA_VERIFY, value: true },
      ],
      [
        ...common,
        { type: ck.CKA_CLASS, value: ck.CKO_PRIVATE_KEY },
        { type: ck.CKA_PRIVATE, value: true },
        { type: ck.CKA_SENSITIVE, value: true },
        { type: ck.CKA_EXTRACTABLE, value: false },
        { type: ck.CKA_SIGN, value: true },
        { type: ck.CKA_DERIVE, value: false },
      ],
    );
  }

  #namedBy({ label, id }: ObjectName): Template {
    return [
      ...(label === undefined ? [] : [{ type: this.#ck.CKA_LABEL, value: Buffer.from(label) }]),
      ...(id === undefined ? [] : [{ type: this.#ck.CKA_ID, value: Buffer.from(id, 'hex') }]),
    ];
  }

  /** Objects with these names; where no label is the same to the byte, those that differ in their padding only. */
  #findNamed(session: Handle, objectClass: number, { label, id }: ObjectName): Handle[] {
    const ofClass = { type: this.#ck.CKA_CLASS, value: objectClass };
    const exact = this.#find(session, [ofClass, ...this.#namedBy({ label, id })]);
    if (exact.length > 0 || label === undefined) return exact;
    return this.#find(session, [ofClass, ...this.#namedBy({ id })]).filter(
      (object) => unpad(this.#readText(session, object, this.#ck.CKA_LABEL)) === unpad(label),
    );
  }

  #find(session: Handle, template: Template): Handle[] {
    this.#module.C_FindObjectsInit(session, template);
    try {
      const found: Handle[] = [];
      for (;;) {
        const batch = this.#module.C_FindObjects(session, 64);
        if (batch.length === 0) return found;
        found.push(...batch);
      }
    } finally {
      this.#module.C_FindObjectsFinal(session);
    }
  }

  /** One attribute, or undefined where the object has none of this type or an empty one. */
  #read(session: Handle, object: Handle, type: number): Buffer | undefined {
    try {
      const value = this.#module.C_GetAttributeValue(session, object, [{ type }])[0]?.value;
      return Buffer.isBuffer(value) && value.length > 0 ? value : undefined;
    } catch (error) {
      const ckr = ckrOf(error);
      if (ckr === 'CKR_ATTRIBUTE_TYPE_INVALID' || ckr === 'CKR_ATTRIBUTE_SENSITIVE')
        return undefined;
      throw error;
    }
  }

  #readText(session: Handle, object: Handle, type: number): string {
    return this.#read(session, object, type)?.toString('utf8') ?? '';
  }

  #readHex(session: Handle, object: Handle, type: number): string {
    return this.#read(session, object, type)?.toString('hex') ?? '';
  }
}

// CK_STATE values CKS_RO_USER_FUNCTIONS and CKS_RW_USER_FUNCTIONS, which pkcs11js does not name
const roUserState = 1;
const rwUserState = 3;

// CK_TOKEN_INFO flags CKF_PROTECTED_AUTHENTICATION_PATH, CKF_USER_PIN_FINAL_TRY and CKF_USER_PIN_LOCKED
const protectedAuthenticationPath = 0x00000100;
const pinFinalTry = 0x00020000;
const pinLocked = 0x00040000;

/**
 * Why a login must not be tried, judged by the token's CKF_USER_PIN_… flags: a service that restarts in a loop
 * with a wrong PIN must not use up the last attempt.
 */
function loginRefusal(tokenFlags: number, pin: string | undefined): string | undefined {
  if ((tokenFlags & pinLocked) !== 0) {
    return 'the PIN is locked after too many wrong ones: the security officer must reset it';
  }
  if ((tokenFlags & pinFinalTry) !== 0) {
    return 'one more wrong PIN would lock the token: log in once by hand with the right one, then restart';
  }
  return pin === undefined && (tokenFlags & protectedAuthenticationPath) === 0
    ? 'the token asks for a PIN: set pin to env:NAME or file:PATH'
    : undefined;
}

type Attempt<T> = { readonly isDone: boolean; readonly result: T | undefined };

function attempt<T>(run: () => T): Attempt<T> {
  try {
    return { isDone: true, result: run() };
  } catch {
    return { isDone: false, result: undefined };
  }
}

/** A CK_ULONG: 8 bytes, or 4 where `long` is 32 bits wide, in the byte order of the machines Node runs on. */
function readUlong(value: Buffer): number {
  return value.length === 8 ? Number(value.readBigUInt64LE()) : value.readUInt32LE();
}

/** Whether naming one of them chooses between those that match: a name that is given already, or equal, does not. */
function areDifferent(names: readonly string[]): boolean {
  return new Set(names).size > 1;
}
