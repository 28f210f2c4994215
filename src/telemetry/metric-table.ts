/** The definition of a metric, for the program and for docs/metrics.md, which is generated from it. */
export type MetricSpec = {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  /** one sentence; Markdown */
  readonly help: string;
  /** the operator's question that it answers; one sentence, Markdown */
  readonly why: string;
  /** how the gauges of several workers are merged; counters and histograms are summed */
  readonly together?: 'sum' | 'max' | 'min' | 'first';
  /** upper bounds of a histogram's buckets, seconds */
  readonly buckets?: readonly number[];
};

const requestBuckets = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4.5];
const callBuckets = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** The metrics of the processes that serve payments. */
export const workerMetrics = {
  livepeer_hsm_signer_payments_total: {
    type: 'counter',
    labels: ['sender', 'type'],
    help: 'Payments signed; `type` is go-livepeer’s pipeline name.',
    why: 'Are payments made at all, and of which kind?',
  },
  livepeer_hsm_signer_tickets_total: {
    type: 'counter',
    labels: ['sender'],
    help: 'Tickets in them: signatures given out.',
    why: 'How much of the key’s quota do payments take?',
  },
  livepeer_hsm_signer_expected_value_wei_total: {
    type: 'counter',
    labels: ['sender', 'tenant'],
    help: 'Expected value of the tickets signed: what they cost the deposit in the long run. `tenant` is `none` for callers without one, and `other` beyond the first 100.',
    why: 'Who spends, and at which rate does the deposit go down?',
  },
  livepeer_hsm_signer_fees_wei_total: {
    type: 'counter',
    labels: ['tenant'],
    help: 'Fees of the payments signed, as orchestrators charged them.',
    why: 'What did each tenant use? It differs from the expected value by the credit that sessions keep.',
  },
  livepeer_hsm_signer_refusals_total: {
    type: 'counter',
    labels: ['code'],
    help: 'Requests refused or failed, by the code of [errors.md](errors.md); those of the next two are not among them.',
    why: 'Why are payments not made?',
  },
  livepeer_hsm_signer_not_due_total: {
    type: 'counter',
    labels: [],
    help: 'Requests answered 482 (`NO_TICKETS_DUE`): the session’s credit covers what is due.',
    why: 'Do clients ask far more often than they need to pay? It is no failure.',
  },
  livepeer_hsm_signer_session_refreshes_total: {
    type: 'counter',
    labels: ['code'],
    help: 'Requests answered 480: the client is to fetch the orchestrator’s terms again.',
    why: 'Do sessions go on? A client that does not refresh comes back with the same answer again and again.',
  },
  livepeer_hsm_signer_answers_repeated_total: {
    type: 'counter',
    labels: [],
    help: 'Requests [answered from memory](sessions.md#repeated-requests), because they were answered before.',
    why: 'Do clients lose answers on the way?',
  },
  livepeer_hsm_signer_forks_total: {
    type: 'counter',
    labels: [],
    help: 'Payments signed for a session state that another request had [used before](sessions.md#repeated-requests), where `policy.forks` is `count`.',
    why: 'Is a client broken, or does somebody draw tickets until one wins?',
  },
  livepeer_hsm_signer_byoc_jobs_total: {
    type: 'counter',
    labels: ['sender'],
    help: '[BYOC jobs](byoc.md) signed.',
    why: 'Is the BYOC route used?',
  },
  livepeer_hsm_signer_rule_hits_total: {
    type: 'counter',
    labels: ['rule', 'verdict'],
    help: 'Payments that a [rule](policy.md) denied (`deny`), or in observe mode would have denied (`observe`).',
    why: 'Which rule refuses, and may an observed one be enforced?',
  },
  livepeer_hsm_signer_discovery_asked_total: {
    type: 'counter',
    labels: ['part', 'outcome'],
    help: 'Times that an orchestrator was asked for its `terms` or its `runners`; the outcome is `answered`, or [why not](discovery.md#when-one-fails).',
    why: 'Why is an orchestrator not listed?',
  },
  livepeer_hsm_signer_discovery_listed: {
    type: 'gauge',
    labels: [],
    together: 'max',
    help: 'Orchestrators listed for clients.',
    why: 'Do clients find anybody?',
  },
  livepeer_hsm_signer_payment_duration_seconds: {
    type: 'histogram',
    labels: [],
    buckets: requestBuckets,
    help: 'From the whole request body to the answer, of payments signed.',
    why: 'Do clients, who give up after 5 s, get their answers in time?',
  },
  livepeer_hsm_signer_key_use_duration_seconds: {
    type: 'histogram',
    labels: ['provider', 'intent', 'result'],
    buckets: callBuckets,
    help: 'Each use of the key, the wait for its turn included: a batch of tickets is one. `provider` is the plugin’s name, or `failover` for several; `result` is `signed`, or the code of what failed.',
    why: 'Is the key slow, and does it fail? At what: payments, delegations, self-tests?',
  },
  livepeer_hsm_signer_key_calls_waiting: {
    type: 'gauge',
    labels: ['sender'],
    together: 'sum',
    help: 'Calls that wait for their turn at the key, of at most `maxQueuedSignatures` a worker.',
    why: 'Is more asked of the key than it gives?',
  },
  livepeer_hsm_signer_key_member_calls_total: {
    type: 'counter',
    labels: ['provider', 'result'],
    help: 'With [several providers](failover.md): calls of each, such as `keys.0:aws-kms`, that were `signed`, `failed`, or `discarded` because another was faster.',
    why: 'Which of the providers does the work, and which one fails?',
  },
  livepeer_hsm_signer_key_member_healthy: {
    type: 'gauge',
    labels: ['provider'],
    together: 'min',
    help: 'With several providers: 1 while this one can sign.',
    why: 'Is there still one to fall back on?',
  },
  livepeer_hsm_signer_dependency_duration_seconds: {
    type: 'histogram',
    labels: ['dependency', 'outcome'],
    buckets: callBuckets,
    help: 'Questions to the `webhook`, the `ledger`, Redis’ `answers`, the `audit` log’s disk, the `chain`’s nodes, and orchestrators (`discovery`); the outcome is `ok` or `failed`.',
    why: 'Which of the things around the signer is slow, or down?',
  },
  livepeer_hsm_signer_deposit_wei: {
    type: 'gauge',
    labels: ['sender'],
    together: 'min',
    help: 'The deposit, as last read.',
    why: 'What is left, and for how many days?',
  },
  livepeer_hsm_signer_reserve_wei: {
    type: 'gauge',
    labels: ['sender'],
    together: 'min',
    help: 'The reserve, as last read.',
    why: 'What is left of it?',
  },
  livepeer_hsm_signer_window_limit: {
    type: 'gauge',
    labels: ['rule', 'window', 'scope', 'limit'],
    together: 'max',
    help: 'What a [window](policy.md) allows: `limit` is `ev_wei`, `tickets` or `sessions`; `scope` is whose window it is, such as `tenant=acme`. The 100 windows that were asked for last.',
    why: 'Against what is the next to be seen?',
  },
  livepeer_hsm_signer_window_headroom: {
    type: 'gauge',
    labels: ['rule', 'window', 'scope', 'limit'],
    together: 'min',
    help: 'What is left of it now.',
    why: 'Who will be refused next, and when?',
  },
  livepeer_hsm_signer_sessions_in_last_hour: {
    type: 'gauge',
    labels: ['sender'],
    together: 'sum',
    help: 'Sessions that paid with the key, as a lower bound: exact but for a few up to 100,000.',
    why: 'How many clients are there? 0 for an hour means that a retiring key may go.',
  },
  livepeer_hsm_signer_chain_facts_age_seconds: {
    type: 'gauge',
    labels: ['sender'],
    together: 'max',
    help: 'Age of what is known of the chain; with the on-chain source only, as the next three.',
    why: 'Are the nodes read?',
  },
  livepeer_hsm_signer_chain_facts_stale: {
    type: 'gauge',
    labels: ['sender'],
    together: 'max',
    help: '1 while that is too old for payments.',
    why: 'Do payments stop for want of a node?',
  },
  livepeer_hsm_signer_deposit_low: {
    type: 'gauge',
    labels: ['sender'],
    together: 'max',
    help: '1 while the deposit is below `chain.lowDeposit`.',
    why: 'Is it time to fund it?',
  },
  livepeer_hsm_signer_reserve_low: {
    type: 'gauge',
    labels: ['sender'],
    together: 'max',
    help: '1 while the reserve is below `chain.lowReserve`.',
    why: 'Is it time to fund it?',
  },
  livepeer_hsm_signer_price_feed_age_seconds: {
    type: 'gauge',
    labels: ['sender'],
    together: 'max',
    help: 'Since the [price feed](chain.md#prices-in-usd) was updated; only where one is read, as the next.',
    why: 'Is the rate of today?',
  },
  livepeer_hsm_signer_price_feed_stale: {
    type: 'gauge',
    labels: ['sender'],
    together: 'max',
    help: '1 while there is no rate for amounts in USD.',
    why: 'Do payments stop for want of a rate?',
  },
  livepeer_hsm_signer_file_not_in_force: {
    type: 'gauge',
    labels: ['setting'],
    together: 'max',
    help: '1 while the file that `policy.file` or `auth.apiKeys.file` names can’t be read, or is not valid; what was in force before stays.',
    why: 'Do the rules hold that I have written?',
  },
  livepeer_hsm_signer_file_reloads_total: {
    type: 'counter',
    labels: ['setting', 'result'],
    help: 'Times that such a file was read again and taken (`ok`), or not (`failed`).',
    why: 'Has my change arrived, in all workers?',
  },
  livepeer_hsm_signer_file_age_seconds: {
    type: 'gauge',
    labels: ['setting'],
    together: 'max',
    help: 'Since what is in force was read, in the worker that has had it for longest.',
    why: 'How old are the rules that hold?',
  },
  livepeer_hsm_signer_signing_paused: {
    type: 'gauge',
    labels: [],
    together: 'max',
    help: '1 while an operator has [stopped all signing](guardrails.md#the-switch), or nobody can tell.',
    why: 'Did somebody stop it on purpose?',
  },
  livepeer_hsm_signer_ready: {
    type: 'gauge',
    labels: ['part'],
    together: 'min',
    help: '1 while the [part](chain.md#readiness) of `/readyz` can be used, in every worker.',
    why: 'What keeps payments from being made, and since when?',
  },
  livepeer_hsm_signer_requests_in_work: {
    type: 'gauge',
    labels: [],
    together: 'sum',
    help: 'Requests under way, of at most `server.maxRequestsInWork` a worker.',
    why: 'Do requests pile up?',
  },
  livepeer_hsm_signer_event_loop_lag_seconds: {
    type: 'gauge',
    labels: ['quantile'],
    together: 'max',
    help: 'How late a process came to its work since the last scrape, in the worst of the workers; `quantile` is `0.99`, or `1` for the longest.',
    why: 'Is there too little CPU, or does something block?',
  },
  livepeer_hsm_signer_build_info: {
    type: 'gauge',
    labels: ['version', 'node', 'curve'],
    together: 'first',
    help: 'Always 1. `curve` is the library that recovers public keys: `libsecp256k1`, or `noble-curves` where the native one does not work (platforms without a build of it, such as musl and linux-arm64). That takes 1 ms of CPU a signature instead of 0.05 ms; a warning at start says so.',
    why: 'What runs there?',
  },
  process_cpu_seconds_total: {
    type: 'counter',
    labels: [],
    help: 'CPU that the processes have used.',
    why: 'Are more workers needed?',
  },
  process_resident_memory_bytes: {
    type: 'gauge',
    labels: [],
    together: 'sum',
    help: 'Their memory.',
    why: 'Does it grow?',
  },
  process_start_time_seconds: {
    type: 'gauge',
    labels: [],
    together: 'max',
    help: 'Unix time of the last start among them.',
    why: 'Was one restarted?',
  },
} as const satisfies Record<string, MetricSpec>;

/** The metrics of the process that delivers events and answers operators. */
export const primaryMetrics = {
  livepeer_hsm_signer_workers: {
    type: 'gauge',
    labels: ['state'],
    together: 'first',
    help: 'Workers that are `answering`, and those that are `silent`: their gauges are left out, and what they have counted is what they said last.',
    why: 'Are the other numbers those of all workers?',
  },
  livepeer_hsm_signer_kafka_pending_events: {
    type: 'gauge',
    labels: ['sink'],
    together: 'first',
    help: 'Events that wait, counted while the sink takes none.',
    why: 'How much is not billed yet?',
  },
  livepeer_hsm_signer_kafka_pending_bytes: {
    type: 'gauge',
    labels: ['sink'],
    together: 'first',
    help: 'Bytes of the audit log not yet delivered, other records included.',
    why: 'How far is it to `events.maxPendingBytes`, where payments stop?',
  },
  livepeer_hsm_signer_kafka_oldest_event_age_seconds: {
    type: 'gauge',
    labels: ['sink'],
    together: 'first',
    help: 'Age of the oldest event that waits; 0 where none does.',
    why: 'How late is billing?',
  },
  livepeer_hsm_signer_kafka_outbox_healthy: {
    type: 'gauge',
    labels: ['sink'],
    together: 'first',
    help: '1 while events are delivered.',
    why: 'Does the sink take them?',
  },
  livepeer_hsm_signer_kafka_published_events_total: {
    type: 'counter',
    labels: ['sink'],
    help: 'Events that the sink has taken; a repeat counts again.',
    why: 'Do as many arrive as are paid?',
  },
  livepeer_hsm_signer_kafka_publish_errors_total: {
    type: 'counter',
    labels: ['sink'],
    help: 'Tries that the sink did not take.',
    why: 'Is the way to it bad?',
  },
  livepeer_hsm_signer_kafka_storage_errors_total: {
    type: 'counter',
    labels: ['sink'],
    help: 'Failures to read the log, or to read or write how far it is delivered.',
    why: 'Is the disk bad?',
  },
} as const satisfies Record<string, MetricSpec>;
