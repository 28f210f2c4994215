import { type Caller, isKnown } from '../auth/authorization.ts';
import { RequestError } from '../errors.ts';
import { type BillingRule, parsePaymentType } from '../pm/billing.ts';
import { parseMaxPrice } from '../pm/price-ceilings.ts';
import { meterUse, quotePayment } from '../pm/quote.ts';
import type { Refusal } from '../pm/refusal.ts';
import { formatUsd } from '../pm/usd.ts';
import type { AllowedPayment } from '../policy/decide-payment.ts';
import { describeRefusal } from '../policy/describe-refusal.ts';
import type { Policy } from '../policy/policy.ts';
import type { PaymentProposal, SessionFacts } from '../policy/proposal.ts';
import type { AnswerMemory, NewClaim } from '../session/answer-memory.ts';
import { type ManifestIdRule, type RestoredSession, restoreSession } from '../session/restore.ts';
import { decodeCapabilities } from '../wire/capabilities.ts';
import { type OrchestratorInfo, decodeOrchestratorInfo } from '../wire/orchestrator-info.ts';
import { encodeSegmentCredentials } from '../wire/payment.ts';
import {
  type PaymentRequest,
  type UsageLabels,
  decodePaymentRequest,
} from '../wire/payment-request.ts';
import { type DenialRecorder, isDenial } from './denials.ts';
import { type PaymentSoFar, describeRefused } from './describe-refused.ts';
import { answerHolder } from './holders.ts';
import { encodePaymentAnswer, requireSmallAnswer } from './payment-answer.ts';
import type { EventEncoder } from './payment-event.ts';
import { type PaymentRecord, recordPayment } from './payment-record.ts';
import { RefusalError, SessionRefreshError } from './refusal-error.ts';
import { claimUse } from './repeated-requests.ts';
import { traceDecision } from './trace-decision.ts';
import { type Sender, type Senders, chooseSender, findSealer } from './senders.ts';
import { type SignedPayment, type StateFields, signPayment } from './sign-payment.ts';
import { type TicketNonces, demandNonces, requireNonces } from './ticket-nonces.ts';

export type PaymentService = {
  readonly senders: Senders;
  readonly billingRule: BillingRule;
  readonly stateFields: StateFields;
  readonly manifestIdRule: ManifestIdRule;
  readonly ticketNonces: TicketNonces;
  /** whether the auth webhook decides who may pay */
  readonly asksWebhook: boolean;
  readonly answers: AnswerMemory;
  readonly recordDenial: DenialRecorder;
  /** Throws `SIGNING_PAUSED` and `SIGNING_SWITCH_UNAVAILABLE`. */
  readonly requireSigning: () => Promise<void>;
  /** makes the event of a payment; undefined where no events are delivered. Throws `EVENTS_UNAVAILABLE` */
  readonly encodeEvent: EventEncoder | undefined;
  /** Unix nanoseconds */
  readonly now: () => bigint;
  /** 128 random bits as 32 hex digits */
  readonly randomId: () => string;
};

/** One request as the transport hands it over. */
export type PaymentCall = {
  readonly body: Uint8Array;
  readonly caller: Caller;
  readonly requestId: string;
  /** the caller's own id for this first payment, to tell repeats from other payments; 1 to 255 characters */
  readonly idempotencyKey: string | undefined;
  /** aborted at the request's deadline, or when the client is gone */
  readonly signal: AbortSignal;
};

export type LivePaymentResult = {
  /** JSON: `payment`, `segCreds` and `state`, all bytes in base64 */
  readonly answer: string;
  /** undefined where the answer had been given before, and nothing was signed */
  readonly payment: MadePayment | undefined;
};

export type MadePayment = {
  readonly record: PaymentRecord;
  /** EIP-55 */
  readonly sender: string;
  readonly allowed: Pick<AllowedPayment, 'principal' | 'ev' | 'rules' | 'observed'>;
  /** whether another request has used the session's state before */
  readonly isFork: boolean;
  readonly usageLabels: UsageLabels;
  /** the fee in US dollars, decimal text; null where no rate is known */
  readonly feeUsd: string | null;
};

/**
 * Makes one payment, from body to answer. The checks come in the protocol's order, all before the first call of the key; the
 * signatures are then made concurrently. The same request with the same state gets the same answer without a call of the key, for
 * as long as that is remembered. Throws `SignerError`s: what the caller sent, what policy refused, who the caller is, or what the
 * chain, the key or the records could not do. Then nothing is spent, except for what the key was asked to sign.
 */
export async function generateLivePayment(
  service: PaymentService,
  call: PaymentCall,
): Promise<LivePaymentResult> {
  const { body, caller, requestId, idempotencyKey, signal } = call;
  await service.requireSigning();
  const request = decodePaymentRequest(body);
  const orchestrator = decodeOrchestratorInfo(request.orchestrator);
  const sender = request.state
    ? findSealer(service.senders, request.state)
    : chooseSender(service.senders, caller);
  const soFar: PaymentSoFar = {};
  const decoded = { request, orchestrator, sender, soFar };
  // a repeated request is answered even if it could not be made any more: its error is thrown only if there is no answer
  const drafted = attempt(() => draftPayment(service, decoded));
  const demand =
    drafted.kind === 'done' && service.ticketNonces === 'unique'
      ? demandNonces(sender.gate.address, caller, drafted.result)
      : undefined;
  const sessionAuthId = drafted.kind === 'done' ? drafted.result.books.authId : '';
  const identity = {
    request,
    caller,
    sender: sender.gate.address,
    idempotencyKey,
    holder: answerHolder(caller, sessionAuthId),
    // where only the webhook could know the caller, answers are not shared between requests: a repeat makes the signer ask the
    // webhook again
    nobody: service.asksWebhook && !isKnown(caller) ? requestId : '',
  };
  const claim = await claimUse(service.answers, identity, demand, signal);
  if (claim.kind === 'answered') return { answer: claim.answer, payment: undefined };
  let nonces: 'unused' | 'used' = 'unused';
  try {
    if (claim.isFork && !request.state) throw reusedIdempotencyKey();
    if (drafted.kind === 'failed') throw drafted.error;
    const made = await makePayment(service, call, decoded, drafted.result, claim, () => {
      nonces = 'used';
    });
    return { ...made, answer: await claim.remember(made.answer) };
  } catch (error) {
    await claim.forget(nonces);
    if (isDenial(error)) {
      const seen = describeRefused(soFar, request, orchestrator);
      service.recordDenial({ error, requestId, caller, sender: sender.gate.address, seen });
    }
    throw error;
  }
}

type Attempt<Result> =
  | { readonly kind: 'done'; readonly result: Result }
  | { readonly kind: 'failed'; readonly error: unknown };

function attempt<Result>(step: () => Result): Attempt<Result> {
  try {
    return { kind: 'done', result: step() };
  } catch (error) {
    return { kind: 'failed', error };
  }
}

type DecodedCall = {
  readonly request: PaymentRequest;
  readonly orchestrator: OrchestratorInfo;
  readonly sender: Sender;
  /** filled on the way */
  readonly soFar: PaymentSoFar;
};

type PaymentDraft = ReturnType<typeof draftPayment>;

/** Works out what is to be paid, before anybody is asked whether it may be. */
function draftPayment(
  { billingRule, now: tellTime, ...service }: PaymentService,
  { request, orchestrator, sender, soFar }: DecodedCall,
) {
  const { policy } = sender;
  const session = restoreSession(request, orchestrator, service);
  soFar.session = session;
  const capabilities = decodeCapabilities(request.capabilities);
  const authToken = requireAuthToken(orchestrator);

  requireSmallAnswer(orchestrator, capabilities);

  const now = tellTime();
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

  return { session, capabilities, authToken, now, chain, params, books, quote, requestMaxPrice };
}

async function makePayment(
  service: PaymentService,
  { caller, requestId, signal }: PaymentCall,
  { request, orchestrator, sender, soFar }: DecodedCall,
  draft: PaymentDraft,
  { isFork, nonces }: NewClaim,
  onSigning: () => void,
): Promise<LivePaymentResult> {
  const { policy, gate } = sender;
  const { session, capabilities, authToken, now, chain, params, books, requestMaxPrice } = draft;
  const { manifestId } = session;
  const { quote: own } = draft;
  const quote = nonces
    ? { ...own, lastNonce: requireNonces(nonces, orchestrator.transcoder) }
    : own;
  const proposal: PaymentProposal = {
    requestId,
    sender: gate.address,
    caller,
    params,
    books,
    chain,
    now,
    type: books.type,
    isTypeNew: session.books.type !== books.type,
    billingRule: service.billingRule,
    quote,
    price: orchestrator.price,
    requestMaxPrice,
    isNewSession: session.isNew,
    isFork,
    models: capabilities?.models ?? [],
    manifestId,
    usageLabels: request.usageLabels,
  };
  soFar.proposal = proposal;
  const verdict = await traceDecision({ kind: 'payment' }, () =>
    policy.decidePayment(proposal, signal),
  );
  if (verdict.kind === 'deny') throw new RefusalError(verdict.refusal, verdict);

  const record = recordPayment({
    requestId,
    before: session.books,
    after: verdict.books,
    orchestrator,
    quote: verdict.quote,
    manifestId,
    now,
  });
  const payer = sender.orchestratorInfo.address;
  const feeUsd = chain.weiPerUsd ? formatUsd(quote.fee, chain.weiPerUsd) : null;
  const keyUse = { ticketCalls: 0, otherCalls: 0 };
  let signed: SignedPayment;
  try {
    const event = service.encodeEvent?.(record, { now, payer, feeUsd });
    const context = { manifestId, event, keyUse };
    onSigning();
    signed = await signPayment(sender, service.stateFields, verdict, context, signal);
  } catch (error) {
    await verdict.release(keyUse);
    throw error;
  }
  sender.usage.record(verdict.books.stateId, Number(now / 1_000_000n));
  const segCreds = encodeSegmentCredentials(
    manifestId,
    signed.segmentCredentials,
    authToken,
    capabilities,
  );
  return {
    answer: encodePaymentAnswer(orchestrator, signed, segCreds),
    payment: {
      sender: payer,
      allowed: verdict,
      isFork,
      usageLabels: request.usageLabels,
      record,
      feeUsd,
    },
  };
}

function reusedIdempotencyKey(): RequestError {
  return new RequestError(
    'IDEMPOTENCY_KEY_REUSED',
    'this Idempotency-Key was sent with another request before',
  );
}

function accept<Value extends object>(outcome: Value | Refusal): Value {
  if ('code' in outcome) throw new RefusalError(outcome);
  return outcome;
}

function requireAuthToken({ authToken }: OrchestratorInfo) {
  if (!authToken) throw unusable({ code: 'AUTH_TOKEN_MISSING', data: {} });
  return authToken;
}

function unusable(refusal: Refusal): RefusalError {
  const reason = describeRefusal(refusal);
  const message = `remote signer could not check whether to refresh session: ${reason}`;
  return new RefusalError(refusal, { message });
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
  throw unusable(refusal);
}

function requireInitialPrice({ books, isNew }: RestoredSession): void {
  const { pricePerUnit, pixelsPerUnit } = books.initialPrice;
  if (!isNew && (pricePerUnit <= 0n || pixelsPerUnit <= 0n)) {
    throw new RequestError('STATE_PRICE_INVALID', 'invalid initial price in state');
  }
}
