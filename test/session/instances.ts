import { openTestGate, openTestProvider } from '../keys/open-test-gate.ts';
import type { TestKey } from '../support/test-key.ts';
import type { DelegationDomain, StateDelegation } from '../../src/keys/state-delegation.ts';
import type { Address } from '../../src/pm/bytes.ts';
import { type InstanceSeal, startInstanceSeal } from '../../src/session/instance-seal.ts';
import { RecentSeals } from '../../src/session/recent-seals.ts';
import { type SealVerifier, createSealVerifier } from '../../src/session/seal-verifier.ts';

export const second = 1_000_000_000n;

/** Unix nanoseconds, a whole second. */
export const startedAt = 1_775_592_000n * second;

export const arbitrum: DelegationDomain = {
  chainId: 42_161,
  broker: '0xa8bb618b1520e284046f3dfc448851a1ff26e41b' as Address,
};

export type Instance = {
  readonly key: TestKey;
  readonly seal: InstanceSeal;
  /** the `Sig` of a state, as this instance seals it now */
  sign(state: Uint8Array): Uint8Array;
  readonly isSealed: SealVerifier;
  readonly logged: { level: string; message: string; fields: Record<string, unknown> }[];
  readonly delegations: StateDelegation[];
  /** what this instance's clock shows, in Unix nanoseconds */
  now: bigint;
  /** thrown by the key in place of its next signatures */
  failure: Error | undefined;
  /** what the key waits for before it signs */
  heldUntil: Promise<void> | undefined;
};

export type InstanceOptions = {
  readonly domain?: DelegationDomain;
  readonly clockSkewMs?: number;
  readonly now?: () => bigint;
  /** undefined for none */
  readonly recentSeals?: RecentSeals | undefined;
};

/** An instance of the signer, as far as sealing goes: the real gate over a key in memory, and a clock of its own. */
export async function startInstance(options: InstanceOptions = {}): Promise<Instance> {
  const { domain = arbitrum, clockSkewMs = 30_000 } = options;
  const { provider, key } = await openTestProvider();
  const { gate, issue } = await openTestGate(provider);
  const clock: Pick<Instance, 'now' | 'failure' | 'heldUntil'> = {
    now: startedAt,
    failure: undefined,
    heldUntil: undefined,
  };
  const now = options.now ?? (() => clock.now);
  const logged: Instance['logged'] = [];
  const delegations: StateDelegation[] = [];
  const recentSeals = 'recentSeals' in options ? options.recentSeals : new RecentSeals();
  const seal = await startInstanceSeal({
    domain,
    clockSkewMs,
    now,
    recentSeals,
    signDelegation: async (delegation, signal) => {
      await clock.heldUntil;
      if (clock.failure) throw clock.failure;
      delegations.push(delegation);
      const grant = issue({ kind: 'state-delegation', delegation });
      const [signature = new Uint8Array()] = await gate.sign(grant, { signal });
      return signature;
    },
    log: (level, message, fields) => void logged.push({ level, message, fields }),
  });
  return Object.assign(clock, {
    key,
    seal,
    logged,
    delegations,
    sign: (state: Uint8Array) => seal.current()(state),
    isSealed: createSealVerifier({ sender: gate.address, domain, clockSkewMs, now, recentSeals }),
  });
}
