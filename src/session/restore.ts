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

/** Which manifest ids `live` and `fixed` may name: any, or only the auth session id of the orchestrator's challenge. */
export type ManifestIdRule = 'any' | 'match';

export type RestoreOptions = {
  readonly manifestIdRule: ManifestIdRule;
  /** 128 random bits as 32 hex digits */
  readonly randomId: () => string;
};

/**
 * Opens the books that the client carries, whose seal has been verified, or new ones when it carries none. The checks have the
 * protocol's order and words: JSON, orchestrator, app, type, manifest id; then the recipient, which a session keeps once it is
 * bound. Throws {@link RequestError}.
 */
export function restoreSession(
  request: PaymentRequest,
  orchestrator: OrchestratorInfo,
  options: RestoreOptions,
): RestoredSession {
  requireShortNames(request);
  if (!request.state) {
    return {
      books: openSession(request, orchestrator, options.randomId()),
      isNew: true,
      manifestId: chooseManifestId(request, orchestrator, options) ?? options.randomId(),
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
  const manifestId = chooseManifestId(request, orchestrator, options);
  if (manifestId === undefined) throw missingManifestId();
  const { recipient } = orchestrator.ticketParams;
  if (books.recipient !== undefined && books.recipient !== recipient) {
    throw new RequestError('STATE_RECIPIENT_MISMATCH', 'ticket recipient mismatch');
  }
  return {
    books: { ...books, recipient, sequenceNumber: books.sequenceNumber + 1n },
    isNew: false,
    manifestId,
  };
}

/**
 * The request's manifest id; undefined where one may be made up. Where `live` or `fixed` leaves it out, it is the auth session id
 * of the orchestrator's challenge: orchestrators accept such a payment under no other id, so it would be lost.
 */
function chooseManifestId(
  { manifestId, type }: PaymentRequest,
  { authToken }: OrchestratorInfo,
  { manifestIdRule }: RestoreOptions,
): string | undefined {
  // without an auth token a later check refuses the payment
  if ((type !== 'live' && type !== 'fixed') || !authToken) return manifestId || undefined;
  const { sessionId } = authToken;
  if (manifestId === '') {
    if (sessionId === '') throw missingManifestId();
    return sessionId;
  }
  if (manifestIdRule === 'match' && manifestId !== sessionId) {
    throw new RequestError(
      'MANIFEST_ID_MISMATCH',
      "manifestID must be the auth token's session id",
      { data: { field: 'ManifestID', actual: manifestId, expected: sessionId } },
    );
  }
  return manifestId;
}

function missingManifestId(): RequestError {
  return new RequestError('MANIFEST_ID_MISSING', 'missing manifestID');
}

/** In bytes of UTF-8: these names are stored in states, records and counters of windows. */
const longestName = 255;

function requireShortNames({ app, manifestId }: PaymentRequest): void {
  if (Buffer.byteLength(app) > longestName) {
    throw new RequestError('APP_TOO_LONG', `app must not have more than ${longestName} bytes`);
  }
  if (Buffer.byteLength(manifestId) > longestName) {
    const message = `manifestID must not have more than ${longestName} bytes`;
    throw new RequestError('MANIFEST_ID_INVALID', message);
  }
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
    weiPerUsd: undefined,
    segmentCredentials: undefined,
  };
}
