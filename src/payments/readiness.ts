import type { ChainSource, ChainStatus } from '../chain/facts.ts';
import { isSignerError } from '../errors.ts';
import type { KeyProvider } from '../keys/provider.ts';

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

/** What a probe may cost the device: one question in this time, however often it is asked. */
const keyCheckIntervalMs = 5_000;
const keyCheckTimeoutMs = 2_000;

/** Tells, without using the key, whether it, the view of the chain and the records allow payments. */
export function createReadinessCheck(
  provider: Pick<KeyProvider, 'checkHealth'>,
  chain: ChainSource,
  healthChecks: readonly HealthCheck[],
): () => Promise<Readiness> {
  let keyCheck:
    { readonly startedAtMs: number; readonly problem: Promise<string | undefined> } | undefined;

  function findKeyProblem(): Promise<string | undefined> {
    const nowMs = performance.now();
    if (keyCheck && nowMs - keyCheck.startedAtMs < keyCheckIntervalMs) return keyCheck.problem;
    const signal = AbortSignal.timeout(keyCheckTimeoutMs);
    const problem = Promise.resolve(provider.checkHealth?.({ signal })).then(
      () => undefined,
      codeOf,
    );
    keyCheck = { startedAtMs: nowMs, problem };
    return problem;
  }

  return async () => {
    const problem = await findKeyProblem();
    const status = chain.status();
    const parts = await Promise.all(healthChecks.map(describePart));
    const isReady =
      problem === undefined && (status?.isFresh ?? true) && parts.every(([, { ready }]) => ready);
    return {
      isReady,
      report: {
        ready: isReady,
        key: { ready: problem === undefined, problem },
        chain: status ? describe(status) : { ready: true },
        ...Object.fromEntries(parts),
      },
    };
  };
}

async function describePart(part: HealthCheck) {
  const problem = await part.check().then(() => undefined, codeOf);
  return [part.name, { ready: problem === undefined, problem }] as const;
}

function codeOf(error: unknown): string {
  return isSignerError(error) ? error.code : 'INTERNAL';
}

function describe({ facts, ...status }: ChainStatus) {
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
  };
}
