import type { Principal } from '../auth/principal.ts';
import type { BrokerTransaction } from '../keys/broker-transaction.ts';
import type { GrantReason } from '../keys/grant.ts';
import { priceRatio } from '../pm/billing.ts';
import { type Rational, formatDecimal } from '../pm/rational.ts';
import type { SessionState } from '../pm/session-state.ts';
import { type ByocProposal, type PaymentProposal, factsOf } from './proposal.ts';
import { spendOf } from './rules/facts.ts';

/** What the audit record says about a payment. */
export function reasonOf(
  proposal: PaymentProposal,
  books: SessionState,
  principal: Principal,
  rules: readonly string[],
  observed: readonly string[],
): GrantReason {
  return {
    requestId: proposal.requestId,
    traceId: proposal.caller.trace?.traceId,
    clientRequestId: proposal.caller.trace?.clientRequestId,
    principal: principal.id,
    tenant: principal.tenant,
    rules,
    observed,
    ...describeProposal(proposal, books),
  };
}

/** The most models that a record lists of those a caller names; `models` of the subject says how many there were. */
const mostModels = 16;

/**
 * The facts of a payment that a decision is made on, enough to make it again. Amounts are exact, in wei, whole or as a fraction
 * n/d; `sessionEvWei` is what the session had spent before, and `winProb` is a ticket's chance to win, in parts of 2^256 - 1.
 */
export function describeProposal(
  proposal: PaymentProposal,
  books: SessionState,
): Pick<GrantReason, 'amounts' | 'subject' | 'models' | 'usage'> {
  const { quote, params, price, manifestId, isFork, isNewSession, models } = proposal;
  const facts = factsOf(proposal);
  const { ofSession, now } = facts.weiPerUsd;
  return {
    amounts: {
      evWei: spendOf(facts).ev.toString(),
      feeWei: formatDecimal(quote.fee, 0),
      faceValueWei: params.faceValue.toString(),
      tickets: quote.ticketCount.toString(),
      winProb: `0x${params.winProb.toString(16)}`,
      priceWei: toText(priceRatio(price)),
      initialPriceWei: toText(priceRatio(proposal.books.initialPrice)),
      sessionEvWei: facts.session.ev.toString(),
      ...(now && { weiPerUsd: toText(now) }),
      ...(ofSession && ofSession !== now && { weiPerUsdOfSession: toText(ofSession) }),
    },
    subject: {
      session: books.stateId,
      sequence: books.sequenceNumber.toString(),
      app: books.app,
      type: books.type,
      orchestrator: books.orchestratorAddress,
      recipient: params.recipient,
      manifestId,
      sessionSeconds: ((facts.now - facts.session.startedAt) / 1_000_000_000n).toString(),
      ...(isNewSession && { newSession: 'true' }),
      ...(isFork && { fork: 'true' }),
      ...(models.length > mostModels && { models: models.length.toString() }),
    },
    ...(models.length > 0 && {
      models: models.slice(0, mostModels).map(({ capability, model }) => `${capability}/${model}`),
    }),
    usage: proposal.usageLabels,
  };
}

/** What the audit record says about a BYOC job. What is asked of the orchestrator is recorded only within the digest. */
export function describeByocJob(
  { requestId, caller, job }: ByocProposal,
  principal: Principal,
  rules: readonly string[],
  observed: readonly string[],
): GrantReason {
  return {
    requestId,
    traceId: caller.trace?.traceId,
    clientRequestId: caller.trace?.clientRequestId,
    principal: principal.id,
    tenant: principal.tenant,
    rules,
    observed,
    ...describeJob(job),
  };
}

/** The facts of a BYOC job that a decision is made on. */
export function describeJob({
  id,
  capability,
  timeoutSeconds,
}: ByocProposal['job']): Pick<GrantReason, 'amounts' | 'subject'> {
  return {
    amounts: { timeoutSeconds: timeoutSeconds.toString() },
    subject: { job: id, capability },
  };
}

/** A fraction as text. It is not reduced to lowest terms, which would take longer than the rest of the record. */
function toText({ numerator, denominator }: Rational): string {
  return denominator === 1n ? `${numerator}` : `${numerator}/${denominator}`;
}

/** What the audit record says about a transaction. */
export function describeTransaction({
  call,
  broker,
  chainId,
  gasLimit,
  maxFeePerGas,
}: BrokerTransaction): GrantReason {
  return {
    amounts: { maxFeeWei: (gasLimit * maxFeePerGas).toString() },
    subject: { function: call.name, broker, chainId: chainId.toString() },
  };
}
