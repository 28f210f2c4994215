import { SignerError } from '../../errors.ts';

/** Who has stopped all signing, why, and since when. */
export type Pause = {
  /** the operator, as the command line or the page names them; '' where that is not known */
  readonly by: string;
  readonly reason: string;
  /** RFC 3339; '' where that is not known */
  readonly since: string;
};

/** The place where the switch is kept: for all workers of an instance, or for all instances that share a Redis. */
export type SwitchStore = {
  /**
   * The pause as it is now, for a payment that begins; undefined while signing is permitted. Throws `SIGNING_SWITCH_UNAVAILABLE`.
   */
  read(): Promise<Pause | undefined>;
  /** The pause as it was last known, without waiting for anything. Asked before each call of the key. */
  known(): Pause | undefined;
  /** Resolves once every later {@link read} sees it, also after a crash. Throws `SIGNING_SWITCH_UNAVAILABLE`. */
  write(pause: Pause | undefined): Promise<void>;
};

export type SwitchState = { readonly kind: 'signing' } | ({ readonly kind: 'paused' } & Pause);

/** A use of the switch, as it is recorded. */
export type SwitchUse = {
  readonly kind: 'signing-paused' | 'signing-resumed';
  readonly by: string;
  readonly reason?: string;
};

/** Stops all signing except self-tests, and permits it again. */
export type SigningSwitch = {
  /** The present state. Throws `SIGNING_SWITCH_UNAVAILABLE`. */
  state(): Promise<SwitchState>;
  /**
   * Stops signing. Once it resolves, no worker or instance signs a payment that begins after that. It takes effect before it is
   * recorded, so that stopping never waits for the audit log. Throws `SIGNING_SWITCH_UNAVAILABLE` where it has not taken effect,
   * and `AUDIT_UNAVAILABLE` where it has, but could not be recorded.
   */
  pause(order: { readonly by: string; readonly reason: string }): Promise<void>;
  /**
   * Permits signing again; it is recorded before it takes effect. Throws `AUDIT_UNAVAILABLE` and `SIGNING_SWITCH_UNAVAILABLE`; in
   * both cases signing stays stopped.
   */
  resume(order: { readonly by: string }): Promise<void>;
};

/** The switch as those who sign see it. */
export type SigningPermit = {
  /** Requires that signing is permitted, for a payment that begins. Throws `SIGNING_PAUSED` and `SIGNING_SWITCH_UNAVAILABLE`. */
  require(): Promise<void>;
  /** The same by the last known state, without waiting: before each call of the key. */
  requireNow(): void;
};

export type SigningSwitchOptions = {
  readonly store: SwitchStore;
  /** Resolves once the record is on disk. Throws `AUDIT_UNAVAILABLE`. */
  readonly record: (use: SwitchUse) => Promise<void>;
  readonly now: () => Date;
};

/** Operators' texts are cut to this many characters. */
const longestText = 256;

/** Creates the switch over the place where it is kept; each use is recorded. */
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

/** Creates the view of the switch for those who sign. */
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

/** The permit where there is no place to keep a switch. */
export const alwaysPermitted: SigningPermit = {
  require: () => Promise.resolve(),
  requireNow: () => undefined,
};

/** After how many seconds clients may ask again: nobody knows how long a pause lasts. */
const retryAfterSeconds = 10;

function refusePaused(pause: Pause | undefined): void {
  if (!pause) return;
  const { by, reason, since } = pause;
  const when = since && `, on ${since}`;
  throw new SignerError('SIGNING_PAUSED', 'an operator has stopped all signing', {
    details: `${by || 'somebody'}${when}${reason && `: ${reason}`}`,
    data: { retryAfterSeconds },
    retryable: true,
  });
}
