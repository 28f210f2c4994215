import { z } from 'zod';
import type { ChainSource, PriceFeedStatus } from '../chain/facts.ts';
import { formatDecimal } from '../pm/rational.ts';
import type { PartStatus } from './readiness.ts';

/** The status of one process of a signer; plain JSON, with amounts and numbers of the chain as decimal text. */
export type ProcessStatus = {
  /** 1 to the number of workers */
  readonly worker: number;
  readonly parts: readonly PartStatus[];
  /** the active key first; none while the process starts */
  readonly keys: readonly KeyStatus[];
  readonly files: Readonly<z.infer<typeof filesSchema>>;
  /** the delegations under which it seals session states */
  readonly seals: readonly SealStatus[];
  /** the orchestrators that discovery lists; undefined without discovery */
  readonly orchestrators: ListedOrchestrators | undefined;
};

/** A delegation of a key to one process. */
export type SealStatus = {
  /** of the key that delegated, EIP-55 */
  readonly address: string;
  /** Ed25519, 64 hex digits */
  readonly instanceKey: string;
  /** RFC 3339 */
  readonly endsAt: string;
};

export type ListedOrchestrators = {
  readonly count: number;
  /** not more than 100 of them */
  readonly first: readonly {
    readonly address: string;
    /** RFC 3339 */
    readonly lastSeen: string;
    readonly offers: readonly string[];
  }[];
};

const address = z.string().regex(/^0x[0-9a-fA-F]{40}$/);
const time = z.iso.datetime();
const digits = z.string().regex(/^\d+$/);
const wei = digits.describe('wei');

const priceFeedSchema = z.strictObject({
  ready: z.boolean().describe('whether there is a rate for amounts in USD'),
  weiPerUsd: z.string().optional().describe('decimal, the last rate that was believed'),
  ageMs: z.int().optional().describe('since the feed was updated'),
  round: digits.optional(),
  problem: z.string().optional().describe('of the last reading'),
});

const keyChainSchema = z.strictObject({
  chainId: z.int(),
  ticketBroker: address,
  depositWei: wei,
  reserveWei: wei,
  claimedInRoundWei: wei.describe('wei from the reserve, in the current round'),
  withdrawRound: digits,
  l1Block: digits,
  round: digits,
  ageMs: z
    .int()
    .optional()
    .describe('absent where nothing is read from a chain, as everything after it'),
  isDepositLow: z.boolean().optional(),
  isReserveLow: z.boolean().optional(),
  nodes: z.array(z.strictObject({ name: z.string(), problem: z.string().optional() })).optional(),
  priceFeed: priceFeedSchema.optional(),
});

/** A key with its use and its deposit, as JSON. */
export const keyStatusSchema = z.strictObject({
  address: address.describe('EIP-55'),
  role: z.enum(['active', 'retiring']),
  sessionsInLastHour: z.int(),
  lastPaymentAt: time.nullable().describe('null when none since `observedSince`'),
  observedSince: time.describe('when counting began'),
  chain: keyChainSchema,
});

export type KeyStatus = Readonly<z.infer<typeof keyStatusSchema>>;

export type KeyChainStatus = Readonly<z.infer<typeof keyChainSchema>>;

/** By setting: `in force`, or what is wrong with the file. */
export const filesSchema = z.record(z.string(), z.string());

/** Whether a worker, from 1 on, has answered. */
export const workerSchema = z.strictObject({ worker: z.int(), isAnswering: z.boolean() });

/** The status of all processes of a signer together. */
export type SignerStatus = {
  readonly isReady: boolean;
  /** the worst state of each part: a red one goes before one that is older */
  readonly parts: readonly (PartStatus & { readonly worker: number })[];
  readonly keys: readonly KeyStatus[];
  readonly files: ProcessStatus['files'];
  readonly workers: readonly Readonly<z.infer<typeof workerSchema>>[];
  readonly seals: readonly (SealStatus & { readonly worker: number })[];
  readonly orchestrators: ListedOrchestrators | undefined;
};

/** The chain's facts for a key, as JSON. */
export function describeChain(chain: ChainSource): KeyChainStatus {
  const status = chain.status();
  const facts = status?.facts ?? chain.currentFacts();
  return {
    chainId: chain.chainId,
    ticketBroker: chain.ticketBroker,
    depositWei: facts.deposit.toString(),
    reserveWei: facts.reserve.toString(),
    claimedInRoundWei: facts.claimedInRound.toString(),
    withdrawRound: facts.withdrawRound.toString(),
    l1Block: facts.l1Block.toString(),
    round: facts.round.toString(),
    ...(status && {
      ageMs: Math.round(status.ageMs),
      isDepositLow: status.isDepositLow,
      isReserveLow: status.isReserveLow,
      nodes: [...status.nodes],
      ...(status.priceFeed && { priceFeed: describeFeed(status.priceFeed) }),
    }),
  };
}

/** The price feed does not affect readiness: payments to which no amount in USD applies go on without a rate. */
function describeFeed({
  isFresh,
  answer,
  problem,
}: PriceFeedStatus): z.infer<typeof priceFeedSchema> {
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

/**
 * Merges the statuses of all processes: the signer is ready if each of them is. Workers, of `count`, that are not in `heard` have
 * not answered within `waitedMs`, and make the signer unready.
 */
export function mergeStatuses(
  heard: readonly ProcessStatus[],
  count: number,
  waitedMs: number,
): SignerStatus {
  const workers = Array.from({ length: count }, (_, index) => {
    const worker = index + 1;
    return { worker, isAnswering: heard.some((status) => status.worker === worker) };
  });
  const silent = workers
    .filter(({ isAnswering }) => !isAnswering)
    .map(({ worker }) => describeSilence(worker, waitedMs));
  const all = [
    ...heard.flatMap(({ worker, parts }) => parts.map((part) => ({ ...part, worker }))),
    ...silent,
  ];
  const worst = new Map<string, (typeof all)[number]>();
  for (const part of all) {
    const known = worst.get(part.name);
    if (!known || isWorse(part, known)) worst.set(part.name, part);
  }
  const parts = [...worst.values()];
  return {
    isReady: parts.length > 0 && parts.every(({ isReady }) => isReady),
    parts,
    keys: mergeKeys(heard.flatMap(({ keys }) => keys)),
    files: mergeFiles(heard.map(({ files }) => files)),
    workers,
    seals: heard.flatMap(({ worker, seals }) => seals.map((seal) => ({ ...seal, worker }))),
    orchestrators: heard.find(({ orchestrators }) => orchestrators)?.orchestrators,
  };
}

function isWorse(one: PartStatus, other: PartStatus): boolean {
  return one.isReady === other.isReady ? one.ageMs > other.ageMs : !one.isReady;
}

function describeSilence(worker: number, waitedMs: number): PartStatus & { worker: number } {
  return {
    name: 'workers',
    isReady: false,
    code: 'WORKER_UNRESPONSIVE',
    reason: `worker ${worker} has not answered within ${waitedMs} ms: it starts, has ended, is stopped, or is too busy`,
    ageMs: waitedMs,
    worker,
  };
}

/** Merges the keys' statuses. A session that several workers have seen is counted by each, so the sum is an upper bound. */
function mergeKeys(reports: readonly KeyStatus[]): KeyStatus[] {
  const merged = new Map<string, KeyStatus>();
  for (const report of reports) {
    const known = merged.get(report.address);
    merged.set(report.address, known ? mergeKey(known, report) : report);
  }
  return [...merged.values()];
}

function mergeKey(one: KeyStatus, other: KeyStatus): KeyStatus {
  const [newer, older] =
    (one.chain.ageMs ?? 0) <= (other.chain.ageMs ?? 0) ? [one, other] : [other, one];
  return {
    ...newer,
    sessionsInLastHour: newer.sessionsInLastHour + older.sessionsInLastHour,
    lastPaymentAt: latest(newer.lastPaymentAt, older.lastPaymentAt),
    observedSince: latest(newer.observedSince, older.observedSince) ?? newer.observedSince,
  };
}

/** The later of two times in RFC 3339, UTC. */
function latest(one: string | null, other: string | null): string | null {
  return (other ?? '') > (one ?? '') ? other : one;
}

/** Merges the files' states: a file that is wrong in any process is wrong. */
function mergeFiles(all: readonly ProcessStatus['files'][]): Record<string, string> {
  const merged: Record<string, string> = {};
  for (const files of all) {
    for (const [setting, state] of Object.entries(files)) {
      if (merged[setting] === undefined || merged[setting] === inForce) merged[setting] = state;
    }
  }
  return merged;
}

/** The state in `files` of a file that nothing is wrong with. */
export const inForce = 'in force';
