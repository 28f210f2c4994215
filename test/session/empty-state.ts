import { zero } from '../../src/pm/rational.ts';
import type { SessionState } from '../../src/pm/session-state.ts';

/** Books with nothing in them, which take the fewest bytes. */
export const emptyState: SessionState = {
  stateId: '',
  pmSessionId: '',
  lastUpdate: undefined,
  orchestratorAddress: `0x${'0'.repeat(40)}` as SessionState['orchestratorAddress'],
  app: '',
  authExpiry: 0n,
  senderNonce: 0,
  balance: zero,
  initialPrice: { pricePerUnit: 0n, pixelsPerUnit: 0n },
  type: '',
  sequenceNumber: 0n,
  authId: '',
  recipient: undefined,
  credentialHash: undefined,
  principal: undefined,
  startedAt: undefined,
  spentEv: undefined,
  weiPerUsd: undefined,
  segmentCredentials: undefined,
};
