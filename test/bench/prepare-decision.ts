import { anonymous } from '../../src/auth/principal.ts';
import type { ChainFacts } from '../../src/chain/facts.ts';
import { meterUse, quotePayment } from '../../src/pm/quote.ts';
import { createPolicy } from '../../src/policy/policy.ts';
import { decodeState } from '../../src/session/state-json.ts';
import type { OrchestratorInfo } from '../../src/wire/orchestrator-info.ts';
import type { PaymentRequest } from '../../src/wire/payment-request.ts';
import { configSchema } from '../../src/config/schema.ts';
import { parseAddress } from '../../src/pm/bytes.ts';
import { noRules } from '../policy/no-rules.ts';
import { vectorChain } from '../support/test-signer.ts';
import { vectors } from '../vectors/vectors.ts';

/** The policy's part of a payment, ready to be run again and again. */
export function prepareDecision(request: PaymentRequest, orchestrator: OrchestratorInfo) {
  const settings = configSchema.parse({ keys: [{ provider: 'none' }], chain: vectorChain });
  if (settings.chain.source !== 'static' || !request.state) throw new Error('wrong request');
  const sender = parseAddress(vectors.key.address);
  if (!sender) throw new Error('wrong address');
  const { maxTicketEv, maxTotalEv, depositMultiplier, maxTickets } = settings.tickets;
  const policy = createPolicy({
    guardrails: {
      limits: { maxTicketEv, maxTotalEv, depositMultiplier },
      prices: { byType: {}, byCapability: [] },
      maxTickets,
      forks: 'count',
    },
    authorize: undefined,
    ...noRules,
    nowMs: () => performance.now(),
  });
  const { round, roundBlockHash, l1Block, ...funds } = settings.chain;
  const lastInitializedRound = { round, blockHash: roundBlockHash };
  const chain: ChainFacts = {
    ...funds,
    claimedInRound: 0n,
    l1Block,
    round,
    lastInitializedRound,
    weiPerUsd: undefined,
  };
  const now = BigInt(Date.now()) * 1_000_000n;
  const params = orchestrator.ticketParams;
  const books = decodeState(request.state.state);
  const quote = () => {
    const use = meterUse(books, 'fixed', 0n, now, settings.billing.rule);
    if ('code' in use) throw new Error(use.code);
    const allowance = policy.ticketAllowance(params);
    return quotePayment(books, params, use, settings.billing.rule, allowance);
  };
  const proposal = {
    requestId: '0'.repeat(32),
    isTypeNew: false,
    billingRule: settings.billing.rule,
    sender,
    caller: { authId: '', headers: new Map(), credentialHash: '', principal: anonymous },
    params,
    books,
    chain,
    now,
    type: books.type,
    quote: quote(),
    price: orchestrator.price,
    requestMaxPrice: undefined,
    isNewSession: false,
    isFork: false,
    models: [],
    manifestId: request.manifestId,
    usageLabels: {},
  };
  const { signal } = new AbortController();
  return {
    sender,
    chain,
    quote,
    refuseParams: () => policy.refuseParams(proposal, orchestrator.authToken?.expiration ?? 0n),
    decide: () => policy.decidePayment(proposal, signal),
  };
}
