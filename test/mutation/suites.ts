/** What is mutated: folders of src, without what a generator wrote. */
export const folders = [
  'pm',
  'wire',
  'session',
  'policy',
  'keys',
  'auth',
  'payments',
  'audit',
] as const;

export type Folder = (typeof folders)[number];

export const generatedFiles: readonly string[] = ['src/wire/net_pb.ts'];

const payments = [
  'payments/status-codes',
  'payments/request-json',
  'payments/ticket-nonces',
  'payments/manifest-ids',
  'payments/key-failures',
  'payments/differences',
  'byoc',
];

/**
 * The quick tests that may kill a folder's mutants: folders and files of test. What only others would notice counts as survived,
 * so a score is never better than `npm test` is.
 */
export const suites: Readonly<Record<Folder, readonly string[]>> = {
  pm: [
    'pm',
    'vectors',
    ...payments,
    'policy/policy',
    'policy/rules/evaluate',
    'keys/signature',
    'keys/broker-transaction',
  ],
  wire: ['wire', 'api/documents', 'api/openapi', 'vectors', ...payments, 'session/seal-verifier'],
  session: ['session', ...payments, 'guardrails/repeated-requests', 'guardrails/session-limits'],
  policy: [
    'policy',
    ...payments,
    'guardrails/ceilings',
    'guardrails/session-limits',
    'guardrails/budget',
  ],
  keys: [
    'keys',
    'conformance/suite',
    'conformance/findings',
    'conformance/port-faults',
    'conformance/expect',
    'conformance/safe',
    'conformance/local-keystore',
    ...payments,
    'plugins/registry',
  ],
  auth: ['auth', ...payments, 'telemetry/traces'],
  payments: [
    'payments',
    'byoc',
    'api/documents',
    'api/asyncapi',
    'api/openapi',
    'audit/signer-records',
    'audit/stories',
    'auth/principals',
    'cli/deposit',
    'guardrails/no-ticket-twice',
    'guardrails/repeated-requests',
    'guardrails/rules-over-http',
    'guardrails/shared-fairly',
    'policy/switch/pause',
    'telemetry/traces',
  ],
  audit: ['audit', 'guardrails/disk-failures'],
};

/** Tests that measure what the code costs, which mutants beside it change: they are not run. */
export const measuringTests: readonly string[] = ['spends no more on invalid bytes'];

/** A test file that takes longer without a mutant is left out, in seconds. */
export const slowestTestSeconds = 120;
