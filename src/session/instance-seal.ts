import { generateKeyPairSync, sign } from 'node:crypto';
import { isSignerError, isSigningStopped } from '../errors.ts';
import { ProviderError } from '../keys/provider.ts';
import type { DelegationDomain, StateDelegation } from '../keys/state-delegation.ts';
import { encodeSealHeader, instanceMessage } from './delegated-seal.ts';
import type { RecentSeals } from './recent-seals.ts';

/** Gives the `Sig` of a state, 178 bytes, without a key call. */
export type Seal = (state: Uint8Array) => Uint8Array;

/** What the sender has delegated to this instance. */
export type HeldDelegation = {
  /** the Ed25519 public key, 64 hex digits */
  readonly instanceKey: string;
  /** Unix seconds */
  readonly notBefore: bigint;
  readonly notAfter: bigint;
};

/** This instance's own sealing key, with the sender's delegation for it. */
export type InstanceSeal = {
  /** The seal that is valid now. Never waits; throws `STATE_DELEGATION_ENDED` when there is none. */
  current(): Seal;
  /** The delegation that this instance has, even if its time has not come or is over; undefined without one. */
  delegation(): HeldDelegation | undefined;
  /** Ends the renewals. */
  close(): void;
};

export type InstanceSealOptions = {
  readonly domain: DelegationDomain;
  /** Makes the sender's key sign the delegation; throws `SignerError`s. */
  readonly signDelegation: (
    delegation: StateDelegation,
    signal: AbortSignal,
  ) => Promise<Uint8Array>;
  /** how far the clocks of two instances may be apart, in milliseconds */
  readonly clockSkewMs: number;
  /** Unix nanoseconds */
  readonly now: () => bigint;
  /** gets each state that is sealed */
  readonly recentSeals?: RecentSeals | undefined;
  readonly log: (
    level: 'info' | 'warn',
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ) => void;
};

const second = 1_000_000_000n;
const lifetimeSeconds = 8n * 3600n;
/** The seconds that a delegation must still be valid for when it seals a state: the client comes back with the state later. */
const leastSeconds = 60n;

/** How often the clock is checked, since it may jump, or the machine may have slept. */
const checkIntervalMs = 10_000;
const signTimeoutMs = 30_000;
const firstPauseMs = 1_000;
const longestPauseMs = 60_000;

/**
 * Makes an Ed25519 key in memory and has the sender delegate sealing to it. That takes one key call now, and one in the
 * background each time half of the delegation's eight hours have passed. A renewal that fails is tried again after 1 s, 2 s … 60
 * s. Throws what `signDelegation` throws, with one exception: while signing is stopped, the instance starts without a seal, and
 * asks for one each second.
 */
export async function startInstanceSeal(options: InstanceSealOptions): Promise<InstanceSeal> {
  const { domain, now, recentSeals, log } = options;
  const clockSkew = BigInt(options.clockSkewMs) * 1_000_000n;
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const { x = '' } = publicKey.export({ format: 'jwk' });
  const instanceKey = Uint8Array.from(Buffer.from(x, 'base64url'));
  const closing = new AbortController();

  async function delegate() {
    const notBefore = now() / second;
    const notAfter = notBefore + lifetimeSeconds;
    const delegation = { ...domain, instanceKey, notBefore, notAfter };
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(signTimeoutMs)]);
    const signature = await options.signDelegation(delegation, signal);
    const header = encodeSealHeader(delegation, signature);
    const seal: Seal = (state) => {
      const signature = sign(undefined, instanceMessage(header, state), privateKey);
      const sig = Buffer.concat([header, signature]);
      recentSeals?.remember({ state, sig });
      return sig;
    };
    return { notBefore, notAfter, seal };
  }

  let held = await delegate().catch((error: unknown) => {
    if (isSigningStopped(error)) return undefined;
    throw error;
  });
  let timer: NodeJS.Timeout;
  let pauseMs = firstPauseMs;

  function isRenewalDue(): boolean {
    const time = now();
    return (
      !held ||
      time < held.notBefore * second ||
      time >= ((held.notBefore + held.notAfter) / 2n) * second
    );
  }

  async function renewWhenDue(): Promise<void> {
    let nextMs = checkIntervalMs;
    try {
      if (isRenewalDue()) {
        held = await delegate();
        log('info', 'delegation for sealing session states renewed', describeEnd(held));
      }
      pauseMs = firstPauseMs;
    } catch (error) {
      if (closing.signal.aborted) return;
      if (isSigningStopped(error)) {
        // signing was stopped on purpose, so nothing is logged; payments are to go on as soon as they may
        checkAfter(firstPauseMs);
        return;
      }
      log('warn', 'delegation for sealing session states not renewed; it will be tried again', {
        ...(held && describeEnd(held)),
        ...describeFailure(error),
        pauseMs,
      });
      nextMs = pauseMs;
      pauseMs = Math.min(2 * pauseMs, longestPauseMs);
    }
    checkAfter(nextMs);
  }

  function checkAfter(delayMs: number): void {
    if (closing.signal.aborted) return;
    timer = setTimeout(() => void renewWhenDue(), delayMs).unref();
  }
  checkAfter(held ? checkIntervalMs : firstPauseMs);

  return {
    current() {
      if (!held) throw delegationEnded();
      const time = now();
      const { notBefore, notAfter, seal } = held;
      const isBegun = time >= notBefore * second - clockSkew;
      if (isBegun && time <= (notAfter - leastSeconds) * second) return seal;
      throw delegationEnded();
    },
    delegation() {
      if (!held) return undefined;
      const { notBefore, notAfter } = held;
      return { instanceKey: Buffer.from(instanceKey).toString('hex'), notBefore, notAfter };
    },
    close() {
      clearTimeout(timer);
      closing.abort();
    },
  };
}

function delegationEnded(): ProviderError {
  return new ProviderError(
    'STATE_DELEGATION_ENDED',
    'the key has not renewed the delegation that session states are sealed under',
    { retryable: true },
  );
}

function describeEnd({ notAfter }: { readonly notAfter: bigint }): Record<string, unknown> {
  return { endsAt: new Date(Number(notAfter) * 1000).toISOString() };
}

function describeFailure(error: unknown): Record<string, unknown> {
  return isSignerError(error)
    ? { code: error.code, error: error.message }
    : { code: 'INTERNAL', error: error instanceof Error ? error.message : String(error) };
}
