import type { ChainSource } from '../chain/facts.ts';
import { SignerError, isSignerError } from '../errors.ts';
import { nameOf } from '../foreign-error.ts';
import { refuseSender } from '../pm/ticket-params-validation.ts';

/** Whether payments can be made now. */
export type Readiness = {
  readonly isReady: boolean;
  /** each part that payments need */
  readonly parts: readonly PartStatus[];
};

/** Whether one part that payments need can be used. */
export type PartStatus = {
  readonly name: string;
  readonly isReady: boolean;
  /** of docs/errors.md; undefined while it is ready */
  readonly code: string | undefined;
  /** for operators: may name hosts and files */
  readonly reason: string | undefined;
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
 * Tells whether the key, the view of the chain and the records allow payments. The log says so once when a part goes bad, and
 * when it is well again.
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
    const ageMs = name === 'chain' ? Math.round(chain.status()?.ageMs ?? 0) : 0;
    try {
      await check();
      noteChange(name);
      return { name, isReady: true, code: undefined, reason: undefined, ageMs };
    } catch (error) {
      const code = isSignerError(error) ? error.code : 'INTERNAL';
      const reason = isSignerError(error) ? reasonOf(error) : nameOf(error);
      noteChange(name, code, reason);
      return { name, isReady: false, code, reason, ageMs };
    }
  }

  function noteChange(part: string, problem?: string, reason?: string): void {
    if (problems.get(part) === problem) return;
    if (problem === undefined) {
      problems.delete(part);
      log('info', 'ready again', { part });
    } else {
      problems.set(part, problem);
      log('warn', 'not ready', { part, code: problem, reason });
    }
  }

  return async () => {
    const parts = await Promise.all(checks.map(askPart));
    return { isReady: parts.every((part) => part.isReady), parts };
  };
}

const reasonOf = ({ message, details }: SignerError): string =>
  details === undefined || details === '' ? message : `${message}: ${details}`;

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
