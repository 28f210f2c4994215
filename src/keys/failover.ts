import { InternalError, isSignerError, type SignerError } from '../errors.ts';
import { describeAbort } from './describe-abort.ts';
import {
  type FailoverMember,
  lostRace,
  mayPass,
  Member,
  type MemberStatistics,
  PinnedKey,
} from './failover-member.ts';
import {
  type CallOptions,
  type KeyProvider,
  type ProviderContext,
  ProviderError,
  type ProviderSignature,
} from './provider.ts';

export type FailoverOptions = {
  /** At least one; the preferred one first. */
  readonly members: readonly FailoverMember[];
  /**
   * Whether a call that takes longer than 95 % of its member's last calls is also made to the next healthy member. The digest may
   * then be signed twice, but only one signature is given out.
   */
  readonly hedge: boolean;
  /**
   * The pause before a failed member is probed, which doubles up to 16 times this while it keeps failing; also the time limit of
   * one probe.
   */
  readonly probeIntervalMs: number;
  /**
   * Makes a member that failed sign a self-test, through a gate of its own, before it is used again. Throws what the gate throws.
   */
  readonly prove: (member: KeyProvider, options: CallOptions) => Promise<void>;
  readonly log: ProviderContext['log'];
  /** Aborts the start; it is not looked at after that. */
  readonly signal: AbortSignal;
};

/** Several providers of one key, used as one. */
export interface FailoverProvider extends KeyProvider {
  /** One entry a member, in their order. */
  statistics(): readonly MemberStatistics[];
}

/** When one member can serve, the start waits this long for the others; they join later. */
const startGraceMs = 5000;

/**
 * Opens all members and makes one provider of those that can serve. A member that fails for a passing reason joins later. When
 * none can serve, or when a failure is not a passing one (another key, no such key, access denied …), everything is closed and
 * the first error in the members' order is thrown. Throws {@link SignerError}.
 */
export async function openFailoverProvider(options: FailoverOptions): Promise<FailoverProvider> {
  const pinned = new PinnedKey();
  const members = options.members.map((member) => new Member(member, { ...options, pinned }));
  const failures = await takeInAll(members, options.signal);
  const canServe = members.some((member) => member.isHealthy);
  const fatal = failures.find(({ error }) => !canServe || !mayPass(error));
  if (fatal) {
    await Promise.allSettled(members.map((member) => member.close()));
    throw fatal.error;
  }
  for (const { member, error } of failures) member.probeLater(error);
  return new FailoverGroup(members, pinned, options.hedge);
}

type StartFailure = { readonly member: Member; readonly error: SignerError };

/** Takes in all members; gives those that could not be taken in, in the members' order. */
async function takeInAll(
  members: readonly Member[],
  signal: AbortSignal,
): Promise<readonly StartFailure[]> {
  const tooLate = new AbortController();
  const either = AbortSignal.any([signal, tooLate.signal]);
  let grace: NodeJS.Timeout | undefined;
  const failures = await Promise.all(
    members.map(async (member) => {
      try {
        await member.takeIn(either);
        grace ??= setTimeout(() => tooLate.abort(openedTooLate), startGraceMs);
        return [];
      } catch (error) {
        return [{ member, error: mostTelling([error]) }];
      }
    }),
  );
  clearTimeout(grace);
  return failures.flat();
}

const openedTooLate = new ProviderError(
  'PROVIDER_TIMEOUT',
  'the key provider took longer to open than the others; it joins when it is ready',
  { retryable: true },
);

/**
 * Signs with the first healthy member. The members' own time and attempt limits decide how soon a call goes on to the next one,
 * so together they must fit into the request's deadline.
 */
class FailoverGroup implements FailoverProvider {
  readonly keyRef: string;
  /** The smallest among the members at start: any of them may have to take all calls. */
  readonly concurrency: number;
  readonly #members: readonly Member[];
  readonly #pinned: PinnedKey;
  readonly #hedge: boolean;
  readonly #underWay = new Set<AbortController>();
  #closing: Promise<void> | undefined;

  constructor(members: readonly Member[], pinned: PinnedKey, hedge: boolean) {
    this.keyRef = `failover:${members.map(({ name }) => name).join(',')}`;
    this.concurrency = Math.min(...members.map(({ concurrency }) => concurrency ?? Infinity));
    this.#members = members;
    this.#pinned = pinned;
    this.#hedge = hedge;
  }

  async getPublicKey(): Promise<Uint8Array> {
    this.#assertOpen();
    return Promise.resolve(this.#pinned.publicKey.slice());
  }

  async signDigest(digest: Uint8Array, { signal, turn }: CallOptions): Promise<ProviderSignature> {
    this.#assertOpen();
    const over = new AbortController();
    this.#underWay.add(over);
    try {
      return await this.#sign(digest, { signal, turn }, over);
    } finally {
      this.#underWay.delete(over);
    }
  }

  /** Passes when any member's check does. */
  async checkHealth({ signal }: CallOptions): Promise<void> {
    this.#assertOpen();
    const members = this.#members.filter((member) => member.isTakenIn);
    try {
      await Promise.any(members.map((member) => member.check(signal)));
    } catch (error) {
      throw error instanceof AggregateError ? mostTelling(error.errors) : error;
    }
  }

  async describeKey({ signal }: CallOptions): Promise<Readonly<Record<string, string>>> {
    const members = await Promise.all(this.#members.map((member) => member.describe(signal)));
    return Object.fromEntries(members.flatMap((attributes) => Object.entries(attributes)));
  }

  statistics(): readonly MemberStatistics[] {
    return this.#members.map((member) => member.statistics);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const over of this.#underWay) over.abort(this.#closedError());
    await Promise.all(this.#members.map((member) => member.close()));
  }

  /** Each member gets the digest at most once; the first signature counts. */
  #sign(
    digest: Uint8Array,
    { signal: caller, turn }: CallOptions,
    over: AbortController,
  ): Promise<ProviderSignature> {
    const signal = AbortSignal.any([caller, over.signal]);
    const { promise, resolve, reject } = Promise.withResolvers<ProviderSignature>();
    const tried = new Set<Member>();
    const failures: unknown[] = [];

    const call = (member: Member, isHedge: boolean): void => {
      tried.add(member);
      const hedgeAfterMs = this.#hedge ? member.hedgeAfterMs : undefined;
      const slow = hedgeAfterMs === undefined ? undefined : setTimeout(hedge, hedgeAfterMs);
      member
        .sign(digest, { signal, turn }, { isHedge })
        .finally(() => clearTimeout(slow))
        .then(
          (signature) => {
            over.abort(lostRace);
            resolve(signature);
          },
          (failure: unknown) => {
            failures.push(failure);
            failOver();
          },
        );
    };
    const hedge = (): void => {
      const member = this.#next(tried);
      if (member?.isHealthy) call(member, true);
    };
    const failOver = (): void => {
      const member = this.#next(tried);
      if (signal.aborted) reject(describeAbort(this.keyRef, signal));
      else if (member) call(member, false);
      else if (failures.length === tried.size) reject(mostTelling(failures));
    };

    failOver();
    return promise;
  }

  /** The first healthy member that has not been tried; where no member is healthy, the first one that has not been tried. */
  #next(tried: ReadonlySet<Member>): Member | undefined {
    const healthy = this.#members.filter((member) => member.isHealthy);
    const candidates =
      healthy.length > 0 ? healthy : this.#members.filter((member) => member.isTakenIn);
    return candidates.find((member) => !tried.has(member));
  }

  #assertOpen(): void {
    if (this.#closing) throw this.#closedError();
  }

  #closedError(): ProviderError {
    return new ProviderError('PROVIDER_CLOSED', `${this.keyRef} is closed`);
  }
}

/** The first error that may pass, else the first. */
function mostTelling(failures: readonly unknown[]): SignerError {
  const known = failures.filter(isSignerError);
  return (
    known.find(({ retryable }) => retryable) ??
    known[0] ??
    new InternalError('INTERNAL', 'no key provider can be called')
  );
}
