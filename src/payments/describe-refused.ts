import { priceRatio } from '../pm/billing.ts';
import { formatRational } from '../pm/rational.ts';
import { describeProposal } from '../policy/grant-reasons.ts';
import type { PaymentProposal } from '../policy/proposal.ts';
import type { RestoredSession } from '../session/restore.ts';
import type { OrchestratorInfo } from '../wire/orchestrator-info.ts';
import type { PaymentRequest } from '../wire/payment-request.ts';
import type { SeenByDecision } from './denials.ts';

/** What is known of a payment, as far as it has been processed. */
export type PaymentSoFar = { session?: RestoredSession; proposal?: PaymentProposal };

/** The facts of a refused payment that the decision was made on. */
export function describeRefused(
  { session, proposal }: PaymentSoFar,
  request: PaymentRequest,
  orchestrator: OrchestratorInfo,
): SeenByDecision {
  return proposal
    ? describeProposal(proposal, proposal.books)
    : describeRequest(request, orchestrator, session);
}

/** The facts of a payment that was refused before it was proposed. */
function describeRequest(
  { app, type, manifestId, usageLabels }: PaymentRequest,
  { address, price, ticketParams }: OrchestratorInfo,
  session: RestoredSession | undefined,
): SeenByDecision {
  const { recipient, faceValue } = ticketParams;
  return {
    amounts: { priceWei: formatRational(priceRatio(price)), faceValueWei: faceValue.toString() },
    subject: {
      ...(session && {
        session: session.books.stateId,
        sequence: session.books.sequenceNumber.toString(),
      }),
      app,
      type,
      orchestrator: address,
      recipient,
      manifestId: session?.manifestId ?? manifestId,
    },
    usage: usageLabels,
  };
}
