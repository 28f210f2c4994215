import type { Caller } from '../../src/auth/authorization.ts';
import { anonymous } from '../../src/auth/principal.ts';
import { bytes32FromBytes, maxUint256, parseAddress } from '../../src/pm/bytes.ts';
import { rational } from '../../src/pm/rational.ts';
import type { SessionState } from '../../src/pm/session-state.ts';
import type { PolicyOptions } from '../../src/policy/policy.ts';
import type { PaymentProposal } from '../../src/policy/proposal.ts';
import { emptyState } from '../session/empty-state.ts';

/** `0x` and 40 times the same hex digit. */
export function address(digit: string) {
  const parsed = parseAddress(`0x${digit.repeat(40)}`);
  if (!parsed) throw new Error('not an address');
  return parsed;
}

export const never = new AbortController().signal;
export const caller: Caller = {
  headers: new Map(),
  authId: '',
  credentialHash: 'c1',
  principal: anonymous,
};
/** Unix nanoseconds */
export const now = 1_775_592_000_000_000_000n;
export const roundHash = bytes32FromBytes(new Uint8Array(32).fill(0xa));
export const randHash = bytes32FromBytes(new Uint8Array(32).fill(0xb));

export const books: SessionState = {
  ...emptyState,
  stateId: 's1',
  orchestratorAddress: address('1'),
  initialPrice: { pricePerUnit: 1200n, pixelsPerUnit: 1n },
  type: 'lv2v',
  recipient: address('2'),
};

/** Tickets of 10^12 wei EV; every guardrail allows it. */
export const good: PaymentProposal = {
  requestId: '0123456789abcdef0123456789abcdef',
  sender: address('3'),
  caller,
  params: {
    recipient: address('2'),
    faceValue: 10n ** 15n,
    winProb: maxUint256 / 1000n,
    recipientRandHash: randHash,
    seed: 1n,
    expirationBlock: 1_000n,
    creationRound: undefined,
  },
  books,
  chain: {
    l1Block: 900n,
    round: 3800n,
    deposit: 10n ** 17n,
    reserve: 10n ** 17n,
    claimedInRound: 0n,
    withdrawRound: 0n,
    lastInitializedRound: { round: 3800n, blockHash: roundHash },
    weiPerUsd: undefined,
  },
  now,
  type: 'lv2v',
  isTypeNew: false,
  billingRule: 'keep-one-ticket',
  quote: {
    use: { units: 1n, billedNanoseconds: 0n },
    fee: rational(10n ** 12n),
    ev: rational(10n ** 12n),
    ticketCount: 2n,
    balance: rational(5n),
    lastNonce: 7,
  },
  price: { pricePerUnit: 1200n, pixelsPerUnit: 1n },
  requestMaxPrice: undefined,
  isNewSession: true,
  isFork: false,
  models: [],
  manifestId: 'mid1',
  usageLabels: {},
};

export const guardrails: PolicyOptions['guardrails'] = {
  limits: {
    maxTicketEv: rational(3n * 10n ** 12n),
    maxTotalEv: rational(2n * 10n ** 13n),
    depositMultiplier: 1n,
  },
  prices: { byType: { lv2v: rational(1500n) }, byCapability: [] },
  maxTickets: 50n,
  forks: 'count',
};
