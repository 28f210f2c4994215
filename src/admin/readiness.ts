import type { ChainSource, ChainStatus, PriceFeedStatus } from '../chain/facts.ts';
import { isSignerError } from '../errors.ts';
import { formatDecimal } from '../pm/rational.ts';

/** Whether payments can be made now, and what an operator or a load balancer may know of it. */
export type Readiness = {
  readonly isReady: boolean;
  /** for JSON: amounts and numbers of the chain are decimal text */
  readonly report: object;
};

/** A part that payments need. */
export type HealthCheck = {
  readonly name: string;
  /** Rejects when the part can't be used right now. */
  check(): Promise<void>;
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
  const key: HealthCheck = { name: 'key', check: checkKey };
  const problems = new Map<string, string>();

  async function describePart(part: HealthCheck) {
    const error: unknown = await part.check().then(() => undefined, toError);
    const problem = error === undefined ? undefined : codeOf(error);
    noteChange(part.name, problem, error);
    return [part.name, { ready: problem === undefined, problem }] as const;
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
    const [[, keyState], ...parts] = await Promise.all([
      describePart(key),
      ...healthChecks.map(describePart),
    ]);
    const status = chain.status();
    const isReady =
      keyState.ready && (status?.isFresh ?? true) && parts.every(([, { ready }]) => ready);
    return {
      isReady,
      report: {
        ready: isReady,
        key: keyState,
        chain: status ? describe(status) : { ready: true },
        ...Object.fromEntries(parts),
      },
    };
  };
}

const toError = (thrown: unknown): Error =>
  thrown instanceof Error ? thrown : new Error(String(thrown));

function codeOf(error: unknown): string {
  return isSignerError(error) ? error.code : 'INTERNAL';
}

function describe({ facts, priceFeed, ...status }: ChainStatus) {
  return {
    ready: status.isFresh,
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
