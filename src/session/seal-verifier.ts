import { type KeyObject, createPublicKey, verify } from 'node:crypto';
import { verifyPersonalSignature, verifySignature } from '../keys/signature.ts';
import { type DelegationDomain, stateDelegationDigest } from '../keys/state-delegation.ts';
import type { Address } from '../pm/bytes.ts';
import type { SealedState } from '../wire/payment-request.ts';
import { type DelegatedSeal, instanceMessage, parseDelegatedSeal } from './delegated-seal.ts';
import type { RecentSeals } from './recent-seals.ts';
import { RecentlyUsed } from '../recently-used.ts';

/** Whether a state was sealed for the sender exactly as it is. */
export type SealVerifier = (sealed: SealedState) => boolean;

export type SealVerifierOptions = {
  readonly sender: Address;
  readonly domain: DelegationDomain;
  /** how far the clocks of two instances may be apart, in milliseconds */
  readonly clockSkewMs: number;
  /** Unix nanoseconds */
  readonly now: () => bigint;
  /** the seals that this instance made itself, which are looked up rather than verified */
  readonly recentSeals?: RecentSeals | undefined;
};

/** How many delegations are remembered as verified, one for each instance and renewal. */
const maxRemembered = 1000;

/**
 * Accepts both kinds of seal, whichever this instance makes itself: the sender's own over the state (65 bytes, as go-livepeer
 * makes it), and that of any instance to which the sender has delegated sealing, while the delegation is valid.
 */
export function createSealVerifier(options: SealVerifierOptions): SealVerifier {
  const { sender, domain, now, recentSeals } = options;
  const clockSkew = BigInt(options.clockSkewMs) * 1_000_000n;
  const delegated = new RecentlyUsed<string, KeyObject>(maxRemembered);

  function holdsNow({ notBefore, notAfter }: DelegatedSeal): boolean {
    const time = now();
    const isBegun = time >= notBefore * 1_000_000_000n - clockSkew;
    return isBegun && time <= notAfter * 1_000_000_000n + clockSkew;
  }

  /** The key of the instance, where its delegation, byte for byte, was signed by the sender. */
  function findInstanceKey(seal: DelegatedSeal): KeyObject | undefined {
    const name = Buffer.from(seal.header).toString('latin1');
    const known = delegated.get(name);
    if (known) return known;
    const digest = stateDelegationDigest({ ...domain, ...seal });
    if (!verifySignature(sender, digest, seal.delegationSignature)) return undefined;
    const x = Buffer.from(seal.instanceKey).toString('base64url');
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    delegated.set(name, key);
    return key;
  }

  return ({ state, sig }) => {
    if (sig.length === 65) return verifyPersonalSignature(sender, state, sig);
    const seal = parseDelegatedSeal(sig);
    if (!seal || !holdsNow(seal)) return false;
    if (recentSeals?.has({ state, sig })) return true;
    const key = findInstanceKey(seal);
    if (!key) return false;
    return verify(undefined, instanceMessage(seal.header, state), key, seal.instanceSignature);
  };
}
