import { createAuditLog } from '../../../src/audit/audit-log.ts';
import { type ChainSource } from '../../../src/chain/facts.ts';
import { ChainError } from '../../../src/chain/facts.ts';
import { openKeyGate } from '../../../src/keys/gate.ts';
import type { Address, Bytes32 } from '../../../src/pm/bytes.ts';
import { createDenialRecorder, createKeyUseJournal } from '../../../src/payments/audit-records.ts';
import {
  type LivePaymentResult,
  type PaymentCall,
  type PaymentService,
  generateLivePayment,
} from '../../../src/payments/generate-live-payment.ts';
import { SessionUsage } from '../../../src/payments/session-usage.ts';
import { openEmbeddedLedger } from '../../../src/policy/limits/embedded/embedded-ledger.ts';
import type { SpendLedger } from '../../../src/policy/limits/ledger.ts';
import { createRedisLedger } from '../../../src/policy/limits/redis/redis-ledger.ts';
import { createPolicy } from '../../../src/policy/policy.ts';
import { alwaysPermitted } from '../../../src/policy/switch/signing-switch.ts';
import type { AnswerMemory } from '../../../src/session/answer-memory.ts';
import { type InstanceSeal, startInstanceSeal } from '../../../src/session/instance-seal.ts';
import { createMemoryAnswers } from '../../../src/session/memory-answers.ts';
import { RecentSeals } from '../../../src/session/recent-seals.ts';
import { createRedisAnswers } from '../../../src/session/redis-answers.ts';
import { createSealVerifier } from '../../../src/session/seal-verifier.ts';
import { connectRedis } from '../../../src/store/redis.ts';
import type { Device } from './device.ts';
import type { Draw } from './draw.ts';
import type { Owner } from './kernel.ts';
import type { Plan } from './plan.ts';
import { simulatedRoot, wallNs } from './platform.ts';
import type { SimulatedPolicy } from './policies.ts';
import type { RedisNetwork } from './redis-client.ts';

export const requestDeadlineMs = 4_000;
export const keyPrefix = 'fleet:';
const ttlMs = 600_000;
const broker = '0xa8bb618b1520e284046f3dfc448851a1ff26e41b' as Address;

/** What operators look at, and no invariant is about: one for all schedules, for it takes 4 MiB. */
const usage = new SessionUsage(0);
/** One for each place, for it takes 2 MiB; no seal of one schedule is asked for in another. */
const recentSeals = new Map<string, RecentSeals>();

/** One life of a signer's process, composed as src/compose does it; what it remembers outside of itself outlives it. */
export type Life = {
  readonly owner: Owner;
  readonly pay: (call: PaymentCall) => Promise<LivePaymentResult>;
  readonly close: () => Promise<void>;
};

export type Surroundings = {
  readonly plan: Plan;
  readonly policy: SimulatedPolicy;
  readonly device: Device;
  readonly network: RedisNetwork | undefined;
  readonly draw: Draw;
  readonly isChainStale: () => boolean;
};

export const folderOf = (name: string): string => `${simulatedRoot}${name}`;

/** Throws what src throws at start. */
export async function startLife(
  owner: Owner,
  { plan, policy: { compiled }, device, network, draw, isChainStale }: Surroundings,
): Promise<Life> {
  const log = (): undefined => undefined;
  const folder = folderOf(owner.name);
  const audit = await createAuditLog({
    folder: `${folder}/audit`,
    chain: 'server-0',
    maxFileBytes: plan.maxFileBytes,
    log,
  });
  const closers: (() => Promise<void> | void)[] = [() => audit.close()];
  const nowMs = (): number => performance.now();
  let answers: AnswerMemory;
  let ledger: Promise<SpendLedger> | undefined;
  let openLedger: () => Promise<SpendLedger>;
  if (network) {
    const { acknowledge } = plan;
    const { createClient } = network;
    const redis = await connectRedis({ url: 'redis://simulated', acknowledge, log, createClient });
    closers.push(() => redis.close());
    const maxBytes = plan.answersMaxBytes;
    answers = createRedisAnswers({ redis, keyPrefix, ttlMs, maxBytes, requestDeadlineMs });
    openLedger = () => Promise.resolve(createRedisLedger({ redis, keyPrefix }));
  } else {
    answers = createMemoryAnswers({ ttlMs, maxBytes: plan.answersMaxBytes, nowMs });
    openLedger = () => openEmbeddedLedger({ folder: `${folder}/store`, log });
  }
  const useLedger = (): Promise<SpendLedger> => {
    ledger ??= openLedger().catch((error: unknown) => {
      ledger = undefined;
      throw error;
    });
    return ledger;
  };
  closers.push(async () => (await ledger)?.close());
  await useLedger();

  const guarded = createPolicy({
    guardrails: {
      limits: {
        maxTicketEv: { numerator: 10n ** 18n, denominator: 1n },
        maxTotalEv: { numerator: 10n ** 20n, denominator: 1n },
        depositMultiplier: 1n,
      },
      prices: { byType: {}, byCapability: [] },
      maxTickets: 100n,
      forks: plan.forks,
    },
    authorize: undefined,
    rules: () => compiled,
    ledger: useLedger,
    signingPermit: alwaysPermitted,
    nowMs,
  });
  const gate = await openKeyGate({
    provider: device.open(plan.takesBatches),
    redeem: (grant) => guarded.redeem(grant),
    requireSigning: (intent) => guarded.requireSigning(intent),
    journal: createKeyUseJournal(audit),
    maxQueued: 100,
    signal: AbortSignal.timeout(30_000),
  });
  const chain: ChainSource = {
    chainId: 42_161,
    ticketBroker: broker,
    currentFacts() {
      if (isChainStale()) throw new ChainError('CHAIN_FACTS_UNAVAILABLE', 'the facts are too old');
      return chainFacts;
    },
    currentRate: () => undefined,
    status: () => undefined,
    close: () => undefined,
  };
  const seals = recentSeals.get(owner.name) ?? new RecentSeals();
  recentSeals.set(owner.name, seals);
  const domain = { chainId: chain.chainId, broker };
  const sealing = { domain, clockSkewMs: 30_000, now: wallNs, recentSeals: seals };
  let instanceSeal: InstanceSeal | undefined;
  if (!plan.sealsByKey) {
    instanceSeal = await startInstanceSeal({
      ...sealing,
      signDelegation: async (delegation, signal) => {
        const grant = guarded.grantOwn({ kind: 'state-delegation', delegation });
        const [signature = new Uint8Array()] = await gate.sign(grant, { signal });
        return signature;
      },
      log,
    });
    const seal = instanceSeal;
    closers.push(() => seal.close());
  }
  const service: PaymentService = {
    senders: [
      {
        role: 'active',
        policy: guarded,
        gate,
        chain,
        isSealed: createSealVerifier({ sender: gate.address, ...sealing }),
        instanceSeal,
        orchestratorInfo: {
          address: gate.address,
          signed: () => Promise.reject(new Error('unused')),
        },
        usage,
      },
    ],
    billingRule: 'keep-one-ticket',
    stateFields: 'extended',
    manifestIdRule: 'any',
    ticketNonces: 'unique',
    asksWebhook: false,
    answers,
    recordDenial: createDenialRecorder(audit, { webhookKnowsCallers: false }),
    requireSigning: () => alwaysPermitted.require(),
    encodeEvent: undefined,
    now: wallNs,
    randomId: () => draw.hex(16),
  };
  return {
    owner,
    pay: (call) => generateLivePayment(service, call),
    async close() {
      for (const close of closers.reverse()) await close();
    },
  };
}

const chainFacts = {
  l1Block: 20_000_000n,
  round: 4_000n,
  deposit: 10n ** 24n,
  reserve: 10n ** 24n,
  withdrawRound: 0n,
  claimedInRound: 0n,
  lastInitializedRound: { round: 4_000n, blockHash: `0x${'5a'.repeat(32)}` as Bytes32 },
  weiPerUsd: undefined,
};
