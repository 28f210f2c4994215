import type { ChainSource, ChainStatus, PriceFeedStatus } from '../chain/facts.ts';
import { SignerError, isSignerError } from '../errors.ts';
import { formatDecimal } from '../pm/rational.ts';
import { refuseSender } from '../pm/ticket-params-validation.ts';

/** Whether payments can be made now, and what an operator or a load balancer may know of it. */
export type Readiness = {
  readonly isReady: boolean;
  /** for JSON: amounts and numbers of the chain are decimal text; codes only, since anybody may read it */
  readonly report: object;
  /** for operators, in the order of the report */
  readonly parts: readonly PartStatus[];
};

/** Whether one part that payments need can be used. */
export type PartStatus = {
  readonly name: string;
  readonly isReady: boolean;
  /** of docs/errors.md; undefined while it is ready */
  readonly code: string | undefined;
  /** for operators: may name hosts and files */
  readonly message: string | undefined;
  /** how old what is known of it is */
  readonly ageMs: number;
};

/** A part that payments need. */
export type HealthCheck = {
  readonly name: string;
  /** Throws or rejects when the part can't be used right now. */
  readonly check: () => Promise<void> | void;
};

export type ReadinessOptions = {
  /** Rejects while the key does not sign. */
  readonly checkKey: () => Promise<void>;
  readonly chain: ChainSource;
  /** what payments need besides key and chain */
  readonly healthChecks: readonly HealthCheck[];
  readonly log: (level: 'info' | 'warn', message: string, fields: object) => void;
};

/**
 * Tells whether the key, the view of the chain and the records allow payments. The report has codes only;
 * the log has the message, once, when a part goes bad, and says when it is well again.
 */
export function createReadinessCheck({
  checkKey,
  chain,
  healthChecks,
  log,
}: ReadinessOptions): () => Promise<Readiness> {
  const checks: readonly HealthCheck[] = [
    { name: 'key', check: checkKey },
    { name: 'chain', check: () => requirePayingChain(chain) },
    ...healthChecks,
  ];
  const problems = new Map<string, string>();

  async function askPart({ name, check }: HealthCheck): Promise<PartStatus> {
    let error: Error | undefined;
    try {
      await check();
    } catch (thrown) {
      error = toError(thrown);
    }
    const code = error && codeOf(error);
    noteChange(name, code, error);
    return {
      name,
      isReady: code === undefined,
      code,
      message: error?.message,
      ageMs: name === 'chain' ? Math.round(chain.status()?.ageMs ?? 0) : 0,
    };
  }

  function noteChange(part: string, problem: string | undefined, error: unknown): void {
    if (problems.get(part) === problem) return;
    if (problem === undefined) {
      problems.delete(part);
      log('info', 'ready again', { part });
    } else {
      problems.set(part, problem);
      log('warn', 'not ready', { part, code: problem, reason: String(error) });
    }
  }

  return async () => {
    const parts = await Promise.all(checks.map(askPart));
    const isReady = parts.every((part) => part.isReady);
    const status = chain.status();
    const described = parts.map(({ name, isReady: ready, code: problem }) => [
      name,
      { ready, problem, ...(name === 'chain' && status ? describe(status) : {}) },
    ]);
    return {
      isReady,
      report: { ready: isReady, ...(Object.fromEntries(described) as object) },
      parts,
    };
  };
}

const whatToDo: Readonly<Partial<Record<string, string>>> = {
  SENDER_UNLOCKING:
    'the deposit is unlocked and may be withdrawn soon: fund it, or cancel the unlock',
  RESERVE_EMPTY: 'the reserve is empty: fund it',
  DEPOSIT_EMPTY: 'the deposit is empty: fund it',
};

/** Throws while no payment can be made with what is known of the chain. */
function requirePayingChain(chain: ChainSource): void {
  const refusal = refuseSender(chain.currentFacts());
  if (refusal) throw new SignerError(refusal.code, whatToDo[refusal.code] ?? refusal.code);
}

const toError = (thrown: unknown): Error =>
  thrown instanceof Error ? thrown : new Error(String(thrown));

function codeOf(error: unknown): string {
  return isSignerError(error) ? error.code : 'INTERNAL';
}

function describe({ facts, priceFeed, ...status }: ChainStatus) {
  return {
    ageMs: Math.round(status.ageMs),
    l1Block: facts.l1Block.toString(),
    round: facts.round.toString(),
    depositWei: facts.deposit.toString(),
    reserveWei: facts.reserve.toString(),
    withdrawRound: facts.withdrawRound.toString(),
    isDepositLow: status.isDepositLow,
    isReserveLow: status.isReserveLow,
    nodes: status.nodes,
    ...(priceFeed && { priceFeed: describeFeed(priceFeed) }),
  };
}

/** Without effect on readiness: payments that no amount in USD applies to go on without a rate. */
function describeFeed({ isFresh, answer, problem }: PriceFeedStatus) {
  return {
    ready: isFresh,
    ...(answer && {
      weiPerUsd: formatDecimal(answer.weiPerUsd, 3),
      ageMs: Math.round(answer.ageMs),
      round: answer.round.toString(),
    }),
    problem,
  };
}
