import { monitorEventLoopDelay } from 'node:perf_hooks';
import { BoundedLabel } from './bounded-label.ts';
import { MetricRegistry } from './metric-registry.ts';
import { workerMetrics } from './metric-table.ts';
import { renderMetrics } from './render-metrics.ts';

/** The state of a sender's key and deposit at the moment of a scrape. */
export type SenderSample = {
  /** EIP-55 */
  readonly address: string;
  readonly sessionsInLastHour: number;
  /** calls that wait for the key */
  readonly waitingCalls: number;
  /** wei, as last read */
  readonly deposit: bigint;
  readonly reserve: bigint;
  /** one entry for each provider, where several hold the key */
  readonly members: readonly {
    readonly name: string;
    readonly healthy: boolean;
    readonly calls: number;
    readonly failures: number;
    readonly discarded: number;
  }[];
  /** undefined where nothing is read from a chain */
  readonly chain:
    | {
        readonly ageMs: number;
        readonly isFresh: boolean;
        readonly isDepositLow: boolean;
        readonly isReserveLow: boolean;
        /** undefined where no price feed is read */
        readonly priceFeed:
          | {
              readonly isFresh: boolean;
              /** undefined before the first answer */
              readonly answer: { readonly ageMs: number } | undefined;
            }
          | undefined;
      }
    | undefined;
};

/** A file whose content is not in force while it has a problem. */
export type FileSample = {
  readonly setting: string;
  problem(): string | undefined;
  /** how often the file was read again, and how long the content in force has been; undefined where no file is configured */
  history():
    { readonly taken: number; readonly refused: number; readonly inForceMs: number } | undefined;
};

/** One limit of a window: wei of expected value, tickets or sessions. */
export type WindowSample = {
  readonly rule: string;
  readonly windowMs: number;
  readonly scope: string;
  readonly limit: 'ev_wei' | 'tickets' | 'sessions';
  readonly maximum: bigint;
  readonly spent: bigint;
};

export type PaymentSample = {
  readonly sender: string;
  readonly type: string;
  /** '' for none */
  readonly tenant: string;
  readonly tickets: number;
  /** wei */
  readonly ev: bigint;
  /** wei */
  readonly fee: bigint;
  readonly seconds: number;
};

/** The services that the signer asks, besides the key. */
export type Dependency = 'webhook' | 'ledger' | 'answers' | 'audit' | 'chain' | 'discovery';

/**
 * Counts what the signer does. Amounts are floating-point numbers here, for graphs only; the log and the audit log have them
 * exactly.
 */
export type Metrics = {
  /** Describes the build: the program's version, Node's version, and the library for the curve. */
  describeBuild(build: {
    readonly version: string;
    readonly node: string;
    readonly curve: string;
  }): void;
  paymentSigned(payment: PaymentSample): void;
  /** `status` is that of the answer. */
  requestRefused(code: string, status: number): void;
  /** A repeated request was answered from memory. */
  answerRepeated(): void;
  /** A payment was signed for a state that another request had used before. */
  stateForked(): void;
  byocJobSigned(sender: string): void;
  /** A rule of the policy file denied a payment. */
  ruleDenied(ruleId: string): void;
  /** Rules in observe mode would have denied a payment. */
  rulesObserved(ruleIds: readonly string[]): void;
  /** `result` is `signed`, or the code of what failed. */
  keyUsed(provider: string, intent: string, result: string, seconds: number): void;
  dependencyAsked(dependency: Dependency, isOk: boolean, seconds: number): void;
  /** An orchestrator was asked for its terms or its runners. */
  orchestratorAsked(part: string, outcome: string, seconds: number): void;
  /** How many orchestrators are listed for clients. */
  orchestratorsListed(count: number): void;
  /** Calls `read` at each scrape. */
  watchSenders(read: () => readonly SenderSample[]): void;
  /** The same for the operator's switch. */
  watchSwitch(isStopped: () => boolean): void;
  /** The same for requests under way. */
  watchRequests(count: () => number): void;
  /** The same for whether payments can be made; an answer that comes too late is reported at the next scrape. */
  watchReadiness(
    read: () => Promise<readonly { readonly name: string; readonly isReady: boolean }[]>,
  ): void;
  /** The same for windows. */
  watchWindows(read: () => Promise<readonly WindowSample[]>): void;
  /** The same for files that are read again when they change: the setting that names a file, and its problem. */
  watchFiles(files: readonly FileSample[]): void;
  /** The Prometheus text of this process. */
  text(): Promise<string>;
  /** The same as prom-client's JSON, which can be merged with others'. */
  json(): Promise<readonly object[]>;
};

/** How many tenants have a label of their own. */
const maxTenants = 100;
/** How long a scrape waits for values that have to be asked for. */
const sampleTimeoutMs = 400;
const lagResolutionMs = 20;

/** The metrics of docs/metrics.md, all at zero. */
export function createMetrics(): Metrics {
  const registry = new MetricRegistry(workerMetrics);
  const payments = registry.counter('livepeer_hsm_signer_payments_total');
  const tickets = registry.counter('livepeer_hsm_signer_tickets_total');
  const expectedValue = registry.counter('livepeer_hsm_signer_expected_value_wei_total');
  const fees = registry.counter('livepeer_hsm_signer_fees_wei_total');
  const refusals = registry.counter('livepeer_hsm_signer_refusals_total');
  const notDue = registry.counter('livepeer_hsm_signer_not_due_total');
  const refreshes = registry.counter('livepeer_hsm_signer_session_refreshes_total');
  const repeats = registry.counter('livepeer_hsm_signer_answers_repeated_total');
  const forks = registry.counter('livepeer_hsm_signer_forks_total');
  const jobs = registry.counter('livepeer_hsm_signer_byoc_jobs_total');
  const rules = registry.counter('livepeer_hsm_signer_rule_hits_total');
  const asked = registry.counter('livepeer_hsm_signer_discovery_asked_total');
  const listed = registry.gauge('livepeer_hsm_signer_discovery_listed');
  const durations = registry.histogram('livepeer_hsm_signer_payment_duration_seconds');
  const keyUses = registry.histogram('livepeer_hsm_signer_key_use_duration_seconds');
  const dependencies = registry.histogram('livepeer_hsm_signer_dependency_duration_seconds');
  const build = registry.gauge('livepeer_hsm_signer_build_info');
  const tenants = new BoundedLabel(maxTenants);

  let readSenders: () => readonly SenderSample[] = () => [];
  let isPaused: () => boolean = () => false;
  let countRequests: () => number = () => 0;
  let readReadiness: Parameters<Metrics['watchReadiness']>[0] = () => Promise.resolve([]);
  let readWindows: () => Promise<readonly WindowSample[]> = () => Promise.resolve([]);
  let files: readonly FileSample[] = [];

  function sampleSenders(): void {
    const memberCalls = registry.counter('livepeer_hsm_signer_key_member_calls_total');
    memberCalls.reset();
    for (const sample of readSenders()) {
      const { address: sender, chain } = sample;
      registry
        .gauge('livepeer_hsm_signer_sessions_in_last_hour')
        .set({ sender }, sample.sessionsInLastHour);
      registry.gauge('livepeer_hsm_signer_key_calls_waiting').set({ sender }, sample.waitingCalls);
      registry.gauge('livepeer_hsm_signer_deposit_wei').set({ sender }, Number(sample.deposit));
      registry.gauge('livepeer_hsm_signer_reserve_wei').set({ sender }, Number(sample.reserve));
      for (const { name: provider, healthy, calls, failures, discarded } of sample.members) {
        registry.gauge('livepeer_hsm_signer_key_member_healthy').set({ provider }, healthy ? 1 : 0);
        memberCalls.inc({ provider, result: 'signed' }, Math.max(0, calls - failures - discarded));
        memberCalls.inc({ provider, result: 'failed' }, failures);
        memberCalls.inc({ provider, result: 'discarded' }, discarded);
      }
      if (chain) sampleChain(sender, chain);
    }
  }

  function sampleChain(sender: string, chain: NonNullable<SenderSample['chain']>): void {
    registry
      .gauge('livepeer_hsm_signer_chain_facts_age_seconds')
      .set({ sender }, chain.ageMs / 1000);
    registry.gauge('livepeer_hsm_signer_chain_facts_stale').set({ sender }, chain.isFresh ? 0 : 1);
    registry.gauge('livepeer_hsm_signer_deposit_low').set({ sender }, chain.isDepositLow ? 1 : 0);
    registry.gauge('livepeer_hsm_signer_reserve_low').set({ sender }, chain.isReserveLow ? 1 : 0);
    if (!chain.priceFeed) return;
    const { isFresh, answer } = chain.priceFeed;
    registry.gauge('livepeer_hsm_signer_price_feed_stale').set({ sender }, isFresh ? 0 : 1);
    if (!answer) return;
    registry
      .gauge('livepeer_hsm_signer_price_feed_age_seconds')
      .set({ sender }, answer.ageMs / 1000);
  }

  function sampleFiles(): void {
    const reloads = registry.counter('livepeer_hsm_signer_file_reloads_total');
    reloads.reset();
    for (const file of files) {
      const { setting } = file;
      registry
        .gauge('livepeer_hsm_signer_file_not_in_force')
        .set({ setting }, file.problem() ? 1 : 0);
      const history = file.history();
      if (!history) continue;
      reloads.inc({ setting, result: 'ok' }, history.taken);
      reloads.inc({ setting, result: 'failed' }, history.refused);
      registry
        .gauge('livepeer_hsm_signer_file_age_seconds')
        .set({ setting }, history.inForceMs / 1000);
    }
  }

  const delay = monitorEventLoopDelay({ resolution: lagResolutionMs });
  delay.enable();

  function sampleProcess(): void {
    const lag = registry.gauge('livepeer_hsm_signer_event_loop_lag_seconds');
    const lateSeconds = (ns: number) => Math.max(0, ns / 1e9 - lagResolutionMs / 1000);
    lag.set({ quantile: '0.99' }, lateSeconds(delay.percentile(99)));
    lag.set({ quantile: '1' }, lateSeconds(delay.max));
    delay.reset();
    const { user, system } = process.cpuUsage();
    const cpu = registry.counter('process_cpu_seconds_total');
    cpu.reset();
    cpu.inc((user + system) / 1e6);
    registry.gauge('process_resident_memory_bytes').set(process.memoryUsage.rss());
    registry.gauge('process_start_time_seconds').set(performance.timeOrigin / 1000);
    registry.gauge('livepeer_hsm_signer_requests_in_work').set(countRequests());
    registry.gauge('livepeer_hsm_signer_signing_paused').set(isPaused() ? 1 : 0);
  }

  async function sampleReadiness(): Promise<void> {
    const parts = await readReadiness();
    const ready = registry.gauge('livepeer_hsm_signer_ready');
    // a part that is no longer asked, as while the signer closes, is not known to be ready
    ready.reset();
    for (const { name: part, isReady } of parts) ready.set({ part }, isReady ? 1 : 0);
  }

  async function sampleWindows(): Promise<void> {
    const samples = await readWindows();
    const limits = registry.gauge('livepeer_hsm_signer_window_limit');
    const headroom = registry.gauge('livepeer_hsm_signer_window_headroom');
    limits.reset();
    headroom.reset();
    for (const { rule, windowMs, scope, limit, maximum, spent } of samples) {
      const labels = { rule, window: describeWindow(windowMs), scope, limit };
      limits.set(labels, Number(maximum));
      headroom.set(labels, Number(maximum - spent));
    }
  }

  async function json(): Promise<readonly object[]> {
    sampleSenders();
    sampleFiles();
    sampleProcess();
    await withinMs(sampleTimeoutMs, [sampleReadiness(), sampleWindows()]);
    return registry.json();
  }

  return {
    describeBuild: (labels) => build.set(labels, 1),
    paymentSigned({ sender, type, tenant, seconds, ...payment }) {
      const label = tenants.of(tenant === '' ? 'none' : tenant);
      payments.inc({ sender, type });
      tickets.inc({ sender }, payment.tickets);
      expectedValue.inc({ sender, tenant: label }, Number(payment.ev));
      fees.inc({ tenant: label }, Number(payment.fee));
      durations.observe(seconds);
    },
    requestRefused(code, status) {
      if (code === 'NO_TICKETS_DUE') notDue.inc();
      else if (status === 480) refreshes.inc({ code });
      else refusals.inc({ code });
    },
    answerRepeated: () => repeats.inc(),
    stateForked: () => forks.inc(),
    byocJobSigned: (sender) => jobs.inc({ sender }),
    ruleDenied: (rule) => rules.inc({ rule, verdict: 'deny' }),
    rulesObserved: (ids) => ids.forEach((rule) => rules.inc({ rule, verdict: 'observe' })),
    keyUsed: (provider, intent, result, seconds) =>
      keyUses.observe({ provider, intent, result }, seconds),
    dependencyAsked: (dependency, isOk, seconds) =>
      dependencies.observe({ dependency, outcome: isOk ? 'ok' : 'failed' }, seconds),
    orchestratorAsked(part, outcome, seconds) {
      asked.inc({ part, outcome });
      const isOk = outcome === 'answered';
      dependencies.observe({ dependency: 'discovery', outcome: isOk ? 'ok' : 'failed' }, seconds);
    },
    orchestratorsListed: (count) => listed.set(count),
    watchSenders(read) {
      readSenders = read;
    },
    watchSwitch(read) {
      isPaused = read;
    },
    watchRequests(count) {
      countRequests = count;
    },
    watchReadiness(read) {
      readReadiness = read;
    },
    watchWindows(read) {
      readWindows = read;
    },
    watchFiles(watched) {
      files = watched;
    },
    text: async () => (await renderMetrics([await json()], 'prometheus')).text,
    json,
  };
}

/** Waits for all work, but not longer than `ms`; where it fails, its numbers stay as they were. */
async function withinMs(ms: number, work: readonly Promise<void>[]): Promise<void> {
  const { promise: timeout, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), ms);
  await Promise.race([timeout, Promise.allSettled(work)]);
  clearTimeout(timer);
}

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;

/** A window's length as the policy file writes it: `1h`. */
function describeWindow(windowMs: number): string {
  const unit = units.find(([, ms]) => windowMs % ms === 0);
  return unit ? `${windowMs / unit[1]}${unit[0]}` : `${windowMs}ms`;
}
