import type { Principal } from '../auth/principal.ts';
import type { BrokerTransaction } from '../keys/broker-transaction.ts';
import type { GrantReason } from '../keys/grant.ts';
import { formatDecimal } from '../pm/rational.ts';
import type { SessionState } from '../pm/session-state.ts';
import type { ByocProposal, PaymentProposal } from './proposal.ts';

/** What the audit record says of a payment. */
export function reasonOf(
  { requestId, quote, params, manifestId, isFork, usageLabels }: PaymentProposal,
  books: SessionState,
  principal: Principal,
  rules: readonly string[],
  observed: readonly string[],
  ev: bigint,
): GrantReason {
  return {
    requestId,
    principal: principal.id,
    tenant: principal.tenant,
    rules,
    observed,
    amounts: {
      evWei: ev.toString(),
      feeWei: formatDecimal(quote.fee, 0),
      faceValueWei: params.faceValue.toString(),
      tickets: quote.ticketCount.toString(),
    },
    subject: {
      session: books.stateId,
      sequence: books.sequenceNumber.toString(),
      app: books.app,
      type: books.type,
      orchestrator: books.orchestratorAddress,
      recipient: params.recipient,
      manifestId,
      ...(isFork && { fork: 'true' }),
    },
    usage: usageLabels,
  };
}

/** What the audit record says of a BYOC job; what is asked of the orchestrator is in the digest alone. */
export function describeByocJob(
  { requestId, job }: ByocProposal,
  principal: Principal,
  rules: readonly string[],
  observed: readonly string[],
): GrantReason {
  return {
    requestId,
    principal: principal.id,
    tenant: principal.tenant,
    rules,
    observed,
    amounts: { timeoutSeconds: job.timeoutSeconds.toString() },
    subject: { job: job.id, capability: job.capability },
  };
}

/** What the audit record says of a transaction. */
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
