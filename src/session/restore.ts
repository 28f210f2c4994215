import { RequestError } from '../errors.ts';
import { zero } from '../pm/rational.ts';
import type { SessionState } from '../pm/session-state.ts';
import type { OrchestratorInfo } from '../wire/orchestrator-info.ts';
import type { PaymentRequest } from '../wire/payment-request.ts';
import { decodeState } from './state-json.ts';

/** The session of a request, before this payment. */
export type RestoredSession = {
  /** its `type` is the session's own so far; the request's is still to be checked */
  readonly books: SessionState;
  readonly isNew: boolean;
  readonly manifestId: string;
};

/**
 * Opens the books that the client carries, whose seal has been verified, or new ones when it carries none. The checks come
 * in the protocol's order and words: JSON, orchestrator, app, type, manifest id; then the recipient, which a session keeps once it is bound. `randomId` gives 128 random bits as 32 hex digits, for sessions and
 * for manifest ids that the caller left out. Throws {@link RequestError}.
 */
export function restoreSession(
  request: PaymentRequest,
  orchestrator: OrchestratorInfo,
  randomId: () => string,
): RestoredSession {
  if (!request.state) {
    return {
      books: openSession(request, orchestrator, randomId()),
      isNew: true,
      manifestId: request.manifestId === '' ? randomId() : request.manifestId,
    };
  }
  const books = decodeSealedState(request.state.state);
  if (books.orchestratorAddress !== orchestrator.address) {
    throw new RequestError('STATE_ORCHESTRATOR_MISMATCH', 'orchestratorAddress mismatch');
  }
  if (books.app !== request.app) throw new RequestError('STATE_APP_MISMATCH', 'app mismatch');
  if (books.type !== '' && books.type !== request.type) {
    throw new RequestError('STATE_TYPE_MISMATCH', 'job type mismatch');
  }
  if (request.manifestId === '') {
    throw new RequestError('MANIFEST_ID_MISSING', 'missing manifestID');
  }
  const { recipient } = orchestrator.ticketParams;
  if (books.recipient !== undefined && books.recipient !== recipient) {
    throw new RequestError('STATE_RECIPIENT_MISMATCH', 'ticket recipient mismatch');
  }
  return {
    books: { ...books, recipient, sequenceNumber: books.sequenceNumber + 1n },
    isNew: false,
    manifestId: request.manifestId,
  };
}

function decodeSealedState(bytes: Uint8Array): SessionState {
  try {
    return decodeState(bytes);
  } catch (cause) {
    throw new RequestError('STATE_MALFORMED', 'invalid state', { cause });
  }
}

function openSession(
  request: PaymentRequest,
  orchestrator: OrchestratorInfo,
  stateId: string,
): SessionState {
  return {
    stateId,
    pmSessionId: '',
    lastUpdate: undefined,
    orchestratorAddress: orchestrator.address,
    app: request.app,
    authExpiry: 0n,
    senderNonce: 0,
    balance: zero,
    initialPrice: orchestrator.price,
    type: '',
    sequenceNumber: 0n,
    authId: '',
    recipient: orchestrator.ticketParams.recipient,
    credentialHash: undefined,
    principal: undefined,
    startedAt: undefined,
    spentEv: undefined,
    segmentCredentials: undefined,
  };
}
