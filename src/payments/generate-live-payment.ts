import type { Caller } from '../auth/authorization.ts';
import { InternalError, RequestError } from '../errors.ts';
import { Grant } from '../keys/grant.ts';
import { type BillingRule, parsePaymentType } from '../pm/billing.ts';
import { parseMaxPrice } from '../pm/price-ceilings.ts';
import { meterUse, quotePayment } from '../pm/quote.ts';
import type { Refusal } from '../pm/refusal.ts';
import { hashManifestId } from '../pm/segment-credentials.ts';
import type { AllowedPayment, Policy, SessionFacts } from '../policy/policy.ts';
import { type RestoredSession, restoreSession } from '../session/restore.ts';
import { keySealIntent } from '../session/seal.ts';
import { encodeExtendedState, encodeUpstreamState } from '../session/state-json.ts';
import { encodeBase64 } from '../wire/base64.ts';
import {
  type OrchestratorInfo,
  decodeCapabilities,
  decodeOrchestratorInfo,
  listModels,
} from '../wire/orchestrator-info.ts';
import { type SignedTicket, encodePayment, encodeSegmentCredentials } from '../wire/payment.ts';
import { decodePaymentRequest } from '../wire/payment-request.ts';
import { type PaymentRecord, recordPayment } from './payment-record.ts';
import { RefusalError, SessionRefreshError } from './refusal-error.ts';
import { type Sender, type Senders, chooseSender, findSealer } from './senders.ts';

export type PaymentService = {
  readonly senders: Senders;
  readonly billingRule: BillingRule;
  /** `upstream` writes no more than go-livepeer's own fields into the session state */
  readonly stateFields: 'extended' | 'upstream';
  /** Unix nanoseconds */
  readonly now: () => bigint;
  /** 128 random bits as 32 hex digits */
  readonly randomId: () => string;
};

/** The answer to `POST /generate-live-payment`, in the order its keys are written; all bytes in base64. */
export type LivePayment = {
  readonly payment: string;
  readonly segCreds: string;
  readonly state: { readonly State: string; readonly Sig: string };
};

/** One request as the transport hands it over. */
export type PaymentCall = {
  readonly body: Uint8Array;
  readonly caller: Caller;
  readonly requestId: string;
  /** aborted at the request's deadline, or when the client is gone */
  readonly signal: AbortSignal;
};

export type LivePaymentResult = {
  readonly answer: LivePayment;
  readonly record: PaymentRecord;
  /** EIP-55 */
  readonly sender: string;
};

/**
 * One payment, from body to answer. The checks come in the protocol's order, all before the first key call; the
 * signatures are then made at once. Throws `SignerError`s: what the caller sent, what policy refused, who the caller
 * is, what the chain or the key could not do.
 */
export async function generateLivePayment(
  service: PaymentService,
  { body, caller, requestId, signal }: PaymentCall,
): Promise<LivePaymentResult> {
  const { senders, billingRule } = service;
  const request = decodePaymentRequest(body);
  const orchestrator = decodeOrchestratorInfo(request.orchestrator);
  const sender = request.state ? findSealer(senders, request.state) : chooseSender(senders, caller);
  const { policy, gate } = sender;
  const session = restoreSession(request, orchestrator, service.randomId);
  const capabilities = decodeCapabilities(request.capabilities);
  const authToken = requireAuthToken(orchestrator);

  const now = service.now();
  const chain = sender.chain.currentFacts();
  const params = orchestrator.ticketParams;
  requireUsableParams(
    policy,
    { params, books: session.books, chain, now },
    authToken.expiration,
    orchestrator.transcoder,
  );

  const type = parsePaymentType(request.type);
  const use = accept(meterUse(session.books, type, request.inPixels, now, billingRule));
  const requestMaxPrice = request.maxPrice && accept(parseMaxPrice(request.maxPrice, request.type));
  requireInitialPrice(session);
  const books = { ...session.books, type: type ?? '' };
  const quote = quotePayment(books, params, use, billingRule, policy.ticketAllowance(params));

  const verdict = await policy.decidePayment(
    {
      sender: gate.address,
      caller,
      params,
      books,
      chain,
      now,
      type: books.type,
      quote,
      price: orchestrator.price,
      requestMaxPrice,
      isNewSession: session.isNew,
      models: listModels(capabilities),
      manifestId: session.manifestId,
    },
    signal,
  );
  if (verdict.kind === 'deny') throw new RefusalError(verdict.refusal);

  const signed = await signPayment(sender, service, verdict, session.manifestId, signal);
  sender.usage.record(verdict.books.stateId, Number(now / 1_000_000n));
  return {
    sender: sender.orchestratorInfo.address,
    answer: {
      payment: encodeBase64(encodePayment(orchestrator, signed.tickets)),
      segCreds: encodeBase64(
        encodeSegmentCredentials(
          session.manifestId,
          signed.segmentCredentials,
          authToken,
          capabilities,
        ),
      ),
      state: { State: encodeBase64(signed.state), Sig: encodeBase64(signed.seal) },
    },
    record: recordPayment({
      requestId,
      before: session.books,
      after: verdict.books,
      orchestrator,
      quote,
      manifestId: session.manifestId,
      now,
    }),
  };
}

function accept<Value extends object>(outcome: Value | Refusal): Value {
  if ('code' in outcome) throw new RefusalError(outcome);
  return outcome;
}

function requireAuthToken({ authToken }: OrchestratorInfo) {
  if (!authToken) throw unusable('AUTH_TOKEN_MISSING', 'missing auth token');
  return authToken;
}

function unusable(code: Refusal['code'], reason: string): RefusalError {
  const message = `remote signer could not check whether to refresh session: ${reason}`;
  return new RefusalError({ code, message });
}

const refreshCodes: readonly string[] = [
  'AUTH_TOKEN_EXPIRING',
  'TICKET_PARAMS_EXPIRED',
  'NONCES_USED_UP',
] satisfies Refusal['code'][];

function requireUsableParams(
  policy: Policy,
  session: SessionFacts,
  authTokenExpiration: bigint,
  orchestratorUrl: string,
): void {
  const refusal = policy.refuseParams(session, authTokenExpiration);
  if (!refusal) return;
  if (refreshCodes.includes(refusal.code)) throw new SessionRefreshError(refusal, orchestratorUrl);
  throw unusable(refusal.code, refusal.message);
}

function requireInitialPrice({ books, isNew }: RestoredSession): void {
  const { pricePerUnit, pixelsPerUnit } = books.initialPrice;
  if (!isNew && (pricePerUnit <= 0n || pixelsPerUnit <= 0n)) {
    throw new RequestError('STATE_PRICE_INVALID', 'invalid initial price in state');
  }
}

/** Everything is signed at once; only a key's own seal over new credentials has to wait for these. */
async function signPayment(
  { gate, instanceSeal }: Sender,
  { stateFields }: PaymentService,
  payment: AllowedPayment,
  manifestId: string,
  signal: AbortSignal,
) {
  const sealWithoutKey = instanceSeal?.current();
  const failed = new AbortController();
  const either = { signal: AbortSignal.any([signal, failed.signal]) };
  const signOne = async (grant: Grant): Promise<Uint8Array> =>
    onlyOne(await gate.sign(grant, either));

  const carriesCredentials = !(payment.segmentCredentials instanceof Grant);

  async function signCredentials(): Promise<Uint8Array> {
    const { segmentCredentials } = payment;
    return segmentCredentials instanceof Grant ? signOne(segmentCredentials) : segmentCredentials;
  }

  async function encodeBooks(credentials: Promise<Uint8Array>): Promise<Uint8Array> {
    const { books } = payment;
    if (stateFields === 'upstream') return utf8(encodeUpstreamState(books));
    if (carriesCredentials) return utf8(encodeExtendedState(books));
    const manifestIdHash = hashManifestId(manifestId);
    const segmentCredentials = { manifestIdHash, signature: await credentials };
    return utf8(encodeExtendedState({ ...books, segmentCredentials }));
  }

  async function sealBooks(credentials: Promise<Uint8Array>) {
    const state = await encodeBooks(credentials);
    const seal =
      sealWithoutKey?.(state) ?? (await signOne(payment.sealBooks(keySealIntent(state))));
    return { state, seal };
  }

  const credentials = signCredentials();
  const [ticketSignatures, segmentCredentials, sealed] = await Promise.all([
    gate.sign(payment.ticketBatch, either),
    credentials,
    sealBooks(credentials),
  ]).catch((error: unknown) => {
    failed.abort(error);
    throw error;
  });
  const [first, ...others] = payment.tickets.flatMap((ticket, index): SignedTicket[] => {
    const signature = ticketSignatures[index];
    return signature ? [{ ticket, signature }] : [];
  });
  if (!first || others.length + 1 !== payment.tickets.length) throw tooFewSignatures();
  const tickets: [SignedTicket, ...SignedTicket[]] = [first, ...others];
  return { tickets, segmentCredentials, ...sealed };
}

const encoder = new TextEncoder();
const utf8 = (text: string): Uint8Array => encoder.encode(text);

function onlyOne([signature]: readonly Uint8Array[]): Uint8Array {
  if (!signature) throw tooFewSignatures();
  return signature;
}

function tooFewSignatures(): InternalError {
  return new InternalError('INTERNAL', 'the key gate returned fewer signatures than asked for');
}
