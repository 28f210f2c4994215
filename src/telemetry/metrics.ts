import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** What a sender's key and deposit look like at the moment of a scrape. */
export type SenderSample = {
  /** EIP-55 */
  readonly address: string;
  readonly sessionsInLastHour: number;
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
export type FileSample = { readonly setting: string; problem(): string | undefined };

/** Counts what the signer does. Amounts are not metrics: they are exact in the log. */
export type Metrics = {
  /** Which program this is: its own version, Node's, and the library for the curve. */
  describeBuild(build: {
    readonly version: string;
    readonly node: string;
    readonly curve: string;
  }): void;
  paymentSigned(sender: string, type: string, tickets: number, seconds: number): void;
  requestRefused(code: string): void;
  /** An answer was given again, from memory. */
  answerRepeated(): void;
  /** A payment was signed for a state that another request had used before. */
  stateForked(): void;
  byocJobSigned(sender: string): void;
  /** A rule of the policy file denied a payment. */
  ruleDenied(ruleId: string): void;
  /** Rules in observe mode would have denied a payment. */
  rulesObserved(ruleIds: readonly string[]): void;
  /** An orchestrator was asked for its terms or its runners. */
  orchestratorAsked(part: string, outcome: string): void;
  /** How many orchestrators are listed for clients. */
  orchestratorsListed(count: number): void;
  /** Has `read` called at each scrape. */
  watchSenders(read: () => readonly SenderSample[]): void;
  /** The same for the operator's switch. */
  watchSwitch(isStopped: () => boolean): void;
  /** The same for files that are read again when they change: the setting that names one, and what is wrong with it. */
  watchFiles(files: readonly FileSample[]): void;
  /** The Prometheus text of this process. */
  text(): Promise<string>;
  /** The same as prom-client's JSON, which can be aggregated. */
  json(): Promise<readonly object[]>;
};

const durationBuckets = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4.5];

/** The metrics of docs/metrics.md, all at zero. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const payments = new Counter({
    name: 'livepeer_hsm_signer_payments_total',
    help: 'Payments signed',
    labelNames: ['sender', 'type'] as const,
    registers,
  });
  const tickets = new Counter({
    name: 'livepeer_hsm_signer_tickets_total',
    help: 'Tickets in the payments signed',
    labelNames: ['sender'] as const,
    registers,
  });
  const refusals = new Counter({
    name: 'livepeer_hsm_signer_refusals_total',
    help: 'Requests refused or failed, by the code of docs/errors.md',
    labelNames: ['code'] as const,
    registers,
  });
  const repeats = new Counter({
    name: 'livepeer_hsm_signer_answers_repeated_total',
    help: 'Requests answered from memory, because they were answered before',
    registers,
  });
  const forks = new Counter({
    name: 'livepeer_hsm_signer_forks_total',
    help: 'Payments signed for a session state that another request had used before',
    registers,
  });
  const jobs = new Counter({
    name: 'livepeer_hsm_signer_byoc_jobs_total',
    help: 'BYOC jobs signed',
    labelNames: ['sender'] as const,
    registers,
  });
  const rules = new Counter({
    name: 'livepeer_hsm_signer_rule_hits_total',
    help: 'Payments that a rule of the policy file denied, or in observe mode would have denied',
    labelNames: ['rule', 'verdict'] as const,
    registers,
  });
  const asked = new Counter({
    name: 'livepeer_hsm_signer_discovery_asked_total',
    help: 'Times that an orchestrator was asked for its terms or its runners',
    labelNames: ['part', 'outcome'] as const,
    registers,
  });
  const listed = new Gauge({
    name: 'livepeer_hsm_signer_discovery_listed',
    help: 'Orchestrators that are listed for clients',
    registers,
    aggregator: 'max',
  });
  const durations = new Histogram({
    name: 'livepeer_hsm_signer_payment_duration_seconds',
    help: 'From the whole request body to the answer, of payments signed',
    buckets: durationBuckets,
    registers,
  });
  const gauge = (name: string, help: string) =>
    new Gauge({ name, help, labelNames: ['sender'] as const, registers, aggregator: 'max' });
  const sessions = new Gauge({
    name: 'livepeer_hsm_signer_sessions_in_last_hour',
    help: 'Sessions that paid in the last hour',
    labelNames: ['sender'] as const,
    registers,
    // a session keeps to its connection, and so mostly to one worker
    aggregator: 'sum',
    // the first gauge of a scrape samples for all
    collect: () => sampleSenders(),
  });
  const chainAge = gauge(
    'livepeer_hsm_signer_chain_facts_age_seconds',
    'Age of what is known of the chain',
  );
  const stale = gauge(
    'livepeer_hsm_signer_chain_facts_stale',
    '1 while what is known of the chain is too old for payments',
  );
  const depositLow = gauge(
    'livepeer_hsm_signer_deposit_low',
    '1 while the deposit is below the configured threshold',
  );
  const reserveLow = gauge(
    'livepeer_hsm_signer_reserve_low',
    '1 while the reserve is below the configured threshold',
  );
  const feedAge = gauge(
    'livepeer_hsm_signer_price_feed_age_seconds',
    'Since the price feed was updated',
  );
  const feedStale = gauge(
    'livepeer_hsm_signer_price_feed_stale',
    '1 while there is no rate for amounts in USD',
  );
  let files: readonly FileSample[] = [];
  new Gauge({
    name: 'livepeer_hsm_signer_file_not_in_force',
    help: '1 while a file that is read again when it changes can’t be read, or is not valid; what was in force before stays',
    labelNames: ['setting'] as const,
    registers,
    aggregator: 'max',
    collect() {
      for (const file of files) this.set({ setting: file.setting }, file.problem() ? 1 : 0);
    },
  });
  let isPaused: () => boolean = () => false;
  new Gauge({
    name: 'livepeer_hsm_signer_signing_paused',
    help: '1 while an operator has stopped all signing, or nobody can tell',
    registers,
    aggregator: 'max',
    collect() {
      this.set(isPaused() ? 1 : 0);
    },
  });
  const build = new Gauge({
    name: 'livepeer_hsm_signer_build_info',
    help: 'Always 1; the labels tell versions and the library for the curve',
    labelNames: ['version', 'node', 'curve'] as const,
    registers,
    aggregator: 'first',
  });
  let readSenders: () => readonly SenderSample[] = () => [];

  function sampleSenders(): void {
    for (const { address, sessionsInLastHour, chain } of readSenders()) {
      sessions.set({ sender: address }, sessionsInLastHour);
      if (!chain) continue;
      chainAge.set({ sender: address }, chain.ageMs / 1000);
      stale.set({ sender: address }, chain.isFresh ? 0 : 1);
      depositLow.set({ sender: address }, chain.isDepositLow ? 1 : 0);
      reserveLow.set({ sender: address }, chain.isReserveLow ? 1 : 0);
      if (!chain.priceFeed) continue;
      const { isFresh, answer } = chain.priceFeed;
      feedStale.set({ sender: address }, isFresh ? 0 : 1);
      if (answer) feedAge.set({ sender: address }, answer.ageMs / 1000);
    }
  }

  return {
    describeBuild: (labels) => build.set(labels, 1),
    paymentSigned(sender, type, ticketCount, seconds) {
      payments.inc({ sender, type });
      tickets.inc({ sender }, ticketCount);
      durations.observe(seconds);
    },
    requestRefused: (code) => refusals.inc({ code }),
    answerRepeated: () => repeats.inc(),
    stateForked: () => forks.inc(),
    byocJobSigned: (sender) => jobs.inc({ sender }),
    ruleDenied: (rule) => rules.inc({ rule, verdict: 'deny' }),
    rulesObserved: (ids) => ids.forEach((rule) => rules.inc({ rule, verdict: 'observe' })),
    orchestratorAsked: (part, outcome) => asked.inc({ part, outcome }),
    orchestratorsListed: (count) => listed.set(count),
    watchSenders(read) {
      readSenders = read;
    },
    watchSwitch(read) {
      isPaused = read;
    },
    watchFiles(watched) {
      files = watched;
    },
    text: () => registry.metrics(),
    json: () => registry.getMetricsAsJSON(),
  };
}
