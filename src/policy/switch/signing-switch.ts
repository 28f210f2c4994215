import { SignerError } from '../../errors.ts';

/** Who has stopped all signing, why, and since when. */
export type Pause = {
  /** as the operator's door names them; '' where that is not known */
  readonly by: string;
  readonly reason: string;
  /** RFC 3339; '' where that is not known */
  readonly since: string;
};

/** Where the switch is kept: for all workers of an instance, or for all instances that share a Redis. */
export type SwitchStore = {
  /** As it is now, for a payment that begins; undefined while things are signed. Throws `SIGNING_SWITCH_UNAVAILABLE`. */
  read(): Promise<Pause | undefined>;
  /** As {@link read}, without waiting for anybody: as it was known last. Asked before each call of the key. */
  known(): Pause | undefined;
  /** Resolves once every later {@link read} sees it, also after a crash. Throws `SIGNING_SWITCH_UNAVAILABLE`. */
  write(pause: Pause | undefined): Promise<void>;
};

export type SwitchState = { readonly kind: 'signing' } | ({ readonly kind: 'paused' } & Pause);

/** What is recorded of a use of the switch. */
export type SwitchUse = {
  readonly kind: 'signing-paused' | 'signing-resumed';
  readonly by: string;
  readonly reason?: string;
};

/** Stops all that the key signs but its self-tests, and lets it go on. */
export type SigningSwitch = {
  /** Throws `SIGNING_SWITCH_UNAVAILABLE`. */
  state(): Promise<SwitchState>;
  /**
   * Once it resolves, no payment that begins is signed, by whichever worker or instance. It is recorded after it holds: stopping
   * waits for no audit log. Throws `SIGNING_SWITCH_UNAVAILABLE` where it does not hold, and `AUDIT_UNAVAILABLE` where it does, and is not
   * recorded.
   */
  pause(order: { readonly by: string; readonly reason: string }): Promise<void>;
  /** It is recorded before it holds. Throws `AUDIT_UNAVAILABLE` and `SIGNING_SWITCH_UNAVAILABLE`; then nothing is signed as before. */
  resume(order: { readonly by: string }): Promise<void>;
};

/** What those who sign see of the switch. */
export type SigningPermit = {
  /** For a payment that begins. Throws `SIGNING_PAUSED` and `SIGNING_SWITCH_UNAVAILABLE`. */
  require(): Promise<void>;
  /** The same without waiting, by what is known: before each call of the key. */
  requireNow(): void;
};

export type SigningSwitchOptions = {
  readonly store: SwitchStore;
  /** Resolves once the record is on disk. Throws `AUDIT_UNAVAILABLE`. */
  readonly record: (use: SwitchUse) => Promise<void>;
  readonly now: () => Date;
};

/** Texts of operators are cut after so many characters. */
const longestText = 256;

export function createSigningSwitch({ store, record, now }: SigningSwitchOptions): SigningSwitch {
  return {
    async state() {
      const pause = await store.read();
      return pause ? { kind: 'paused', ...pause } : { kind: 'signing' };
    },
    async pause({ by, reason }) {
      const order = { by: clip(by), reason: clip(reason) };
      await store.write({ ...order, since: now().toISOString() });
      await record({ kind: 'signing-paused', ...order });
    },
    async resume({ by }) {
      await record({ kind: 'signing-resumed', by: clip(by) });
      await store.write(undefined);
    },
  };
}

const clip = (text: string): string => text.slice(0, longestText);

export function createSigningPermit(store: Pick<SwitchStore, 'read' | 'known'>): SigningPermit {
  return {
    async require() {
      refusePaused(await store.read());
    },
    requireNow() {
      refusePaused(store.known());
    },
  };
}

/** Where there is no place to keep a switch. */
export const alwaysPermitted: SigningPermit = {
  require: () => Promise.resolve(),
  requireNow: () => undefined,
};

/** Seconds after which clients may ask again: nobody knows how long a pause lasts. */
const retryAfterSeconds = 10;

function refusePaused(pause: Pause | undefined): void {
  if (!pause) return;
  const { by, reason, since } = pause;
  const data = { retryAfterSeconds, pausedBy: by, pausedSince: since, pauseReason: reason };
  throw new SignerError('SIGNING_PAUSED', 'an operator has stopped all signing', {
    data,
    retryable: true,
  });
}
