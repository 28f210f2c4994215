import { checksum } from 'ox/Address';
import { AuthError, type Caller } from '../auth/authorization.ts';
import { payerAttribute } from '../auth/principal.ts';
import type { ChainSource } from '../chain/facts.ts';
import { RequestError } from '../errors.ts';
import type { KeyGate } from '../keys/gate.ts';
import { parseAddress } from '../pm/bytes.ts';
import type { Policy } from '../policy/policy.ts';
import type { InstanceSeal } from '../session/instance-seal.ts';
import type { SealVerifier } from '../session/seal-verifier.ts';
import type { SealedState } from '../wire/payment-request.ts';
import type { SessionUsage } from './session-usage.ts';
import type { SignedOrchestratorInfo } from './sign-orchestrator-info.ts';

/** One key with all that depends on its address. */
export type Sender = {
  /** `active` keys begin sessions; `retiring` ones only continue those that they have begun */
  readonly role: 'active' | 'retiring';
  readonly policy: Policy;
  readonly gate: KeyGate;
  readonly chain: ChainSource;
  readonly isSealed: SealVerifier;
  /** what seals states without a key call; undefined when the key seals them itself */
  readonly instanceSeal: InstanceSeal | undefined;
  readonly orchestratorInfo: SignedOrchestratorInfo;
  readonly usage: SessionUsage;
};

/** The keys of this signer: the active one first, then those that retire. */
export type Senders = readonly [active: Sender, ...retiring: Sender[]];

/** The header in which a caller asks for a certain key: for gateways that hold an earlier key's address. */
export const senderHeader = 'Livepeer-Payer-Address';

/**
 * The key that pays for the caller's principal, or that the caller asks for; the active one when neither says. Throws
 * `SENDER_UNKNOWN`, and `CREDENTIAL_NOT_PERMITTED` when the caller asks for another key than its principal's.
 */
export function chooseSender(senders: Senders, { headers, principal }: Caller): Sender {
  const asked = headers.get(senderHeader)?.[0];
  const own = principal.attributes[payerAttribute];
  const named = own ?? asked;
  if (named === undefined) return senders[0];
  const address = parseAddress(named);
  if (own !== undefined && asked !== undefined && parseAddress(asked) !== address) {
    throw new AuthError('CREDENTIAL_NOT_PERMITTED', `${senderHeader}: another key pays for you`);
  }
  const sender = senders.find(({ gate }) => gate.address === address);
  if (sender) return sender;
  const source = own === undefined ? senderHeader : `the principal's ${payerAttribute}`;
  throw new RequestError('SENDER_UNKNOWN', `${source} names no key of this signer`);
}

/** The key that a session began with: the one its state is sealed for. Throws `STATE_SIGNATURE_INVALID`. */
export function findSealer(senders: Senders, state: SealedState): Sender {
  const sender = senders.find(({ isSealed }) => isSealed(state));
  if (sender) return sender;
  throw new RequestError('STATE_SIGNATURE_INVALID', 'invalid sig');
}

/** The use of a key, for operators. */
export type SenderStatus = {
  readonly address: string;
  readonly role: Sender['role'];
  readonly sessionsInLastHour: number;
  /** RFC 3339; null when none since `observedSince` */
  readonly lastPaymentAt: string | null;
  /** RFC 3339: when this process began to count */
  readonly observedSince: string;
};

/** The use of a key by this process at `nowMs` (Unix milliseconds). */
export function describeSender({ gate, role, usage }: Sender, nowMs: number): SenderStatus {
  return {
    address: checksum(gate.address),
    role,
    sessionsInLastHour: usage.sessionsInLastHour(nowMs),
    lastPaymentAt:
      usage.lastSeenAtMs === undefined ? null : new Date(usage.lastSeenAtMs).toISOString(),
    observedSince: new Date(usage.sinceMs).toISOString(),
  };
}
