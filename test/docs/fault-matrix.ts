import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What must hold whatever fails. */
export const invariants = {
  allow: 'nothing leaves that policy did not allow',
  limits: 'no window or limit is exceeded, what is unused comes back',
  once: 'no ticket is drawn twice',
  record: 'every signature is in the log',
  answer: 'a coded answer in time; it goes on by itself',
} as const;

export type Invariant = keyof typeof invariants;

/** A test by its file under test/ and its title as the source has it. */
export type TestName = readonly [file: string, title: string];

/** The tests of a cell, or why there is none. */
export type Cell = readonly TestName[] | string;

type Row = Readonly<Record<Invariant, Cell>>;

const unlimited = 'fails before anything is reserved';
const unsigned = 'fails before a nonce is taken';
const unwritten = 'nothing is signed, so nothing is to be recorded';

const budget = 'guardrails/budget.test.ts';
const keyFailures = 'payments/key-failures.test.ts';
const once = 'guardrails/no-ticket-twice.test.ts';
const gate = 'keys/gate.test.ts';
const signerRecords = 'audit/signer-records.test.ts';
const redisFailures = 'guardrails/redis-failures.test.ts';
const disk = 'guardrails/disk-failures.test.ts';
const audit = 'audit/failures.test.ts';
const failures = 'guardrails/failures.test.ts';
const onChain = 'chain/on-chain.test.ts';
const embedded = 'policy/limits/embedded-file.test.ts';
const redisLedger = 'policy/limits/redis-ledger.test.ts';

const countedCalls: readonly TestName[] = [
  [
    budget,
    'have the signatures of payments that failed counted, and get back the rest, over two instances with one Redis',
  ],
  [
    budget,
    'have the signatures of payments that failed counted, and get back the rest, with the embedded ledger',
  ],
];
const chaos: TestName = ['chaos/chaos.test.ts', 'gives out no wrong ticket and recovers: $fault'];
const failedCallsKeepNonces: TestName = [
  once,
  'when the key has failed for some tickets of a payment',
];
const failedUse: TestName = [signerRecords, 'tells why the key failed'];

/** Rows: what fails. The page docs/fault-matrix.md is made of this, and each run of the tests is held against it. */
export const faults: Readonly<Record<string, Row>> = {
  'the key service throttles or fails': {
    allow: [[keyFailures, 'gives nothing away when only signature %i of 3 fails']],
    limits: countedCalls,
    once: [failedCallsKeepNonces],
    record: [failedUse],
    answer: [[keyFailures, 'answers 503, masked, when the device %s, and serves on'], chaos],
  },
  'the key hangs': {
    allow: [
      [gate, 'returns no signature that comes in after the deadline, and the gate goes on working'],
    ],
    limits: [
      [budget, 'use the budget for the signatures that were begun, and get back the rest: %s'],
    ],
    once: [failedCallsKeepNonces],
    record: [failedUse],
    answer: [
      [keyFailures, 'is answered with 503 at the request’s deadline, and later ones are served'],
    ],
  },
  'the key gives a wrong signature': {
    allow: [
      ['keys/signature.test.ts', "refuses another key's signature rather than guess a recovery id"],
      ['keys/signature.test.ts', 'refuses a signature over another digest'],
      [
        'keys/batch-proof.test.ts',
        'are in a batch what they are one by one, whatever is wrong with any of them',
      ],
      [gate, 'holds on to the public key it read: a provider that changes its key is refused'],
    ],
    limits: countedCalls,
    once: [failedCallsKeepNonces],
    record: [failedUse],
    answer: [[keyFailures, 'answers 503, masked, when the device %s, and serves on'], chaos],
  },
  'an HSM loses its sessions or restarts': {
    allow: [
      [
        'plugins/pkcs11/recovery.test.ts',
        'is noticed by the signature of another key, which is not handed out',
      ],
      [
        'plugins/pkcs11/recovery.test.ts',
        'is not replaced by a session on another key of the same name',
      ],
    ],
    limits: 'the gate sees a failed call, as in the first row',
    once: 'the gate sees a failed call, as in the first row',
    record: 'the gate sees a failed call, as in the first row',
    answer: [
      [
        'plugins/pkcs11/lost-sessions.test.ts',
        'a device that stays away turns readiness red, and its return green without a payment',
      ],
      chaos,
    ],
  },
  'one of several key providers fails': {
    allow: [
      ['keys/failover.test.ts', 'never gives out the signature of a member with the wrong key'],
      ['keys/failover.test.ts', 'do not take back a member whose key is another one now'],
    ],
    limits: 'the group is one provider to the gate, which counts one call',
    once: [
      [
        'keys/failover.test.ts',
        'gives the first member’s signature when that comes first after all, and discards the second',
      ],
    ],
    record: 'the group is one provider to the gate, which records one call',
    answer: [
      ['keys/failover.test.ts', 'goes on with just the one call when a member throttles it'],
      [
        'keys/failover.test.ts',
        'ends with the caller’s deadline when a member hangs, and takes that member for hung',
      ],
      chaos,
    ],
  },
  'Redis is down': {
    allow: [
      [
        redisFailures,
        'refuses all payments after a %s, and goes on by itself where it was when Redis is back',
      ],
    ],
    limits: [
      [
        redisFailures,
        'keeps the budget, and signs nothing unrecorded, when Redis is killed under load',
      ],
      [redisLedger, 'fails while Redis is gone, and goes on with the same counts when it is back'],
    ],
    once: [[once, 'are shared by instances, whether Redis is there or not']],
    record: [
      [
        redisFailures,
        'keeps the budget, and signs nothing unrecorded, when Redis is killed under load',
      ],
    ],
    answer: [
      [
        redisFailures,
        'refuses all payments after a %s, and goes on by itself where it was when Redis is back',
      ],
    ],
  },
  'Redis hangs': {
    allow: [
      [
        redisFailures,
        'refuses all payments while Redis hangs, and gives back what it had reserved without a word',
      ],
    ],
    limits: [
      [redisLedger, 'fails soon while Redis hangs, and gives back what Redis reserved too late'],
    ],
    once: [['session/answers-redis.test.ts', 'takes back a claim that Redis answers too late']],
    record: unwritten,
    answer: [[redisFailures, 'pays within the request’s deadline while Redis hangs']],
  },
  'Redis refuses: password, rights, replica, no room': {
    allow: [[redisFailures, 'lets no payment go on: %s, also while it connects again']],
    limits: [[redisFailures, 'lets no payment go on: %s, also while it connects again']],
    once: [
      [
        'session/answers-redis.test.ts',
        'is no way round a Redis that is full: one that refuses a write was reached',
      ],
    ],
    record: unwritten,
    answer: [
      [
        'store/redis.test.ts',
        'does not use a Redis that has come to evict since, until it no longer does',
      ],
    ],
  },
  'Redis fails over and forgets writes': {
    allow: 'allowing needs no memory but that of windows, the next column',
    limits: [
      [
        'guardrails/failover.long.test.ts',
        'are never given one more, when writes are acknowledged, whoever is killed or frozen',
      ],
    ],
    once: [
      [
        'session/answers-redis.test.ts',
        'gives back no nonces that somebody else was given after Redis had lost them',
      ],
    ],
    record: 'the log is a file of the instance, not in Redis',
    answer: [['store/redis.test.ts', 'leaves a server that has become a replica']],
  },
  'the ledger’s disk is full or its file damaged': {
    allow: [[embedded, 'is refused when pages of it are damaged']],
    limits: [
      [
        disk,
        'has nothing signed that is not counted, and payments go on by themselves once there is room',
      ],
    ],
    once: 'nonces are kept in memory, or in Redis',
    record: unwritten,
    answer: [
      [
        embedded,
        'refuses while its disk is full, goes on once there is room, and has lost nothing',
      ],
    ],
  },
  'the audit disk is full': {
    allow: [
      [
        disk,
        'has nothing signed that is not recorded, and payments go on by themselves once there is room',
      ],
    ],
    limits: [
      [
        disk,
        'has nothing signed that is not recorded, and payments go on by themselves once there is room',
      ],
    ],
    once: 'the key is not asked',
    record: [
      [
        audit,
        'refuses records until there is room again, and then goes on by itself with the chain intact',
      ],
    ],
    answer: [
      [
        signerRecords,
        'stops payments while the disk is full, signs nothing meanwhile, and goes on when there is room',
      ],
    ],
  },
  'the audit disk has errors or hangs': {
    allow: 'a signature that can’t be recorded is not handed out: the column of the log',
    limits: 'the gate fails as for a full disk',
    once: 'what was signed and not recorded is not handed out',
    record: [
      [audit, 'loses no record that was reported, though a failed sync has lost what was written'],
      [audit, 'keeps the chain whole, and in it what was reported, through errors at any moment'],
    ],
    answer: [
      [audit, 'that does not answer for three seconds is reported, and takes no more records: %s'],
    ],
  },
  'the audit log is deleted or changed': {
    allow: [[disk, 'has no payment answered from then on, and no second one signed']],
    limits: 'the gate fails as for a full disk',
    once: 'the key is not asked',
    record: [
      ['audit/verify-chain.test.ts', 'finds any changed byte'],
      ['audit/verify-chain.test.ts', 'finds any removed and any inserted byte'],
      [audit, 'is told from one that works once the file was deleted'],
    ],
    answer: 'an operator has to look; the signer does not go on by itself',
  },
  'chain nodes are down': {
    allow: [
      [
        'chain/payments-on-chain.test.ts',
        'go on while no node answers and the facts are fresh, then stop with 503, and go on by themselves afterwards',
      ],
    ],
    limits: unlimited,
    once: unsigned,
    record: unwritten,
    answer: [
      [
        'chain/payments-on-chain.test.ts',
        'wait for no node: none of them answers the question that is under way',
      ],
    ],
  },
  'a chain node lies, lags or is another chain’s': {
    allow: [
      [onChain, 'never has facts go back to an older block'],
      ['chain/payments-on-chain.test.ts', 'refuses to start with a node of another chain'],
    ],
    limits: 'windows count tickets and their value, not facts of the chain',
    once: 'nonces do not depend on the chain',
    record: 'the log does not depend on the chain',
    answer: [[onChain, 'that %s changes nothing, and is used again when it is well']],
  },
  'the auth webhook fails': {
    allow: [[failures, 'that %s has nothing signed and nothing reserved']],
    limits: [[failures, 'that %s has nothing signed and nothing reserved']],
    once: unsigned,
    record: unwritten,
    answer: [
      [
        failures,
        'that is down has nothing signed and nothing reserved, and is asked again when it is back',
      ],
    ],
  },
  'the token issuer’s keys can’t be had (JWKS)': {
    allow: [[failures, 'that %s has no payment made, until its keys can be had']],
    limits: unlimited,
    once: unsigned,
    record: unwritten,
    answer: [
      [
        'auth/jwt.test.ts',
        'that never answers is one after two seconds, within the request’s deadline',
      ],
    ],
  },
  'the broker of events fails': {
    allow: 'events are told after the payment, and decide nothing',
    limits: 'events are told after the payment, and count nothing',
    once: 'events are told after the payment',
    record: [
      [
        'events/delivery.test.ts',
        'all arrive after outages and kills, also of workers that are no more; repeats are the same bytes',
      ],
    ],
    answer: [
      [
        'events/delivery.test.ts',
        'stop payments with 503 when too many wait, and let them go on once they are delivered',
      ],
      [
        'events/kafka.test.ts',
        'fails while the broker is gone, and delivers again once it is back',
      ],
    ],
  },
  'the clock steps': {
    allow: [[gate, 'does not revive an expired grant when the clock is set back']],
    limits: [
      [
        'guardrails/clock-steps.test.ts',
        'of the embedded ledger are not freed by a step of the clock',
      ],
      ['guardrails/clock-steps.test.ts', 'in Redis are not freed by a step of the signer’s clock'],
      ['guardrails/clock-steps.test.ts', 'are not freed by a restart after a step of %i ms'],
      [redisLedger, 'frees nothing when Redis’ clock is set back'],
    ],
    once: [
      [once, 'when the orchestrator dates the same parameters anew, or another tenant sends them'],
    ],
    record: 'records are ordered by their hashes, not by time',
    answer: [
      ['guardrails/clock-steps.test.ts', 'is never billed twice, wherever the clock goes'],
      ['session/fleet.test.ts', 'goes on where clocks differ by no more than the configured skew'],
    ],
  },
  'the process is killed': {
    allow: [
      [
        'policy/switch/pause.test.ts',
        'stop two workers under load at once and over a kill, and let them go on, on record',
      ],
    ],
    limits: [[embedded, 'has everything that was granted after a kill -9 in the middle']],
    once: [
      [
        'session/answers-redis.test.ts',
        'lets another instance take over when the one that had the claim is gone',
      ],
    ],
    record: [
      [
        'audit/kill.test.ts',
        'kept everything that clients received in audit log and ledger, killed 6 times under load',
      ],
    ],
    answer: [
      [
        'cli/workers.test.ts',
        'are replaced when they end, later each time, while the others go on',
      ],
    ],
  },
  'clients leave, or send the same again': {
    allow: [[gate, 'makes no call at all when the client left before']],
    limits: [
      [budget, 'use the budget for the signatures that were begun, and get back the rest: %s'],
    ],
    once: [
      [once, 'when the same first payment is sent again, one after the other and at once'],
      ['guardrails/repeated-requests.test.ts', 'gets the same answer without a key call'],
    ],
    record: [
      [
        signerRecords,
        'has each digest that the key was given, why it was, and what came of it, but no signature',
      ],
    ],
    answer: [
      [
        'guardrails/repeated-requests.test.ts',
        'waits for the answer while the first try is under way',
      ],
    ],
  },
  'there is more work than can be done': {
    allow: [
      [
        gate,
        'wait in a bounded queue: one too many is PROVIDER_THROTTLED and cancels its own batch alone',
      ],
    ],
    limits: [[budget, 'use it up and no more, over two instances with one Redis']],
    once: unsigned,
    record: unwritten,
    answer: [
      [
        'http/overload.test.ts',
        'refuses what is beyond maxRequestsInWork, and serves again when there is room',
      ],
    ],
  },
  'the policy file is deleted or broken': {
    allow: [[failures, 'stays in force, with a problem in the log, until there is one again']],
    limits: [['config/watched-file.test.ts', 'stays in force while the file is away, and says so']],
    once: 'nonces do not depend on the policy',
    record: [[signerRecords, 'names the policy file in force, and the rule that has denied']],
    answer: [
      [
        'cli/policy-reload.test.ts',
        'comes into force when it is replaced, and never with a mistake in it or with needs that can’t be met',
      ],
    ],
  },
};

/** Every test that a cell names. */
export const namedTests: readonly TestName[] = Object.values(faults).flatMap((row) =>
  Object.values(row).flatMap((cell) => (typeof cell === 'string' ? [] : cell)),
);

/** The page with its table made anew, between `<!-- matrix -->` and `<!-- end -->`. */
export function withMatrix(page: string): string {
  return page.replace(/(<!-- matrix -->\n)[^]*?(<!-- end -->)/, (_, start: string, end: string) => {
    const columns = Object.keys(invariants) as Invariant[];
    const tests = [...new Map(namedTests.map((test) => [test.join(' '), test])).values()];
    const numberOf = (test: TestName) =>
      tests.findIndex((each) => each[0] === test[0] && each[1] === test[1]) + 1;
    const cellText = (cell: Cell): string =>
      typeof cell === 'string' ? `– ${cell}` : cell.map((test) => `T${numberOf(test)}`).join(', ');
    const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
    const files = [...new Set(tests.map(([file]) => file))].sort();
    return [
      start,
      line(['what fails', ...columns.map((column) => invariants[column])]),
      line(['what fails', ...columns].map(() => '---')),
      ...Object.entries(faults).map(([fault, row]) =>
        line([fault, ...columns.map((column) => cellText(row[column]))]),
      ),
      '',
      '## The tests',
      ...files.flatMap((file) => [
        '',
        `\`test/${file}\``,
        '',
        ...tests
          .filter((test) => test[0] === file)
          .map((test) => `- T${numberOf(test)}: ${test[1]}`),
      ]),
      '',
      end,
    ].join('\n');
  });
}

/** The titles of describe and it in a test file, and in the modules under test/ that it imports. */
export function titlesOf(file: string): string[] {
  const titles: string[] = [];
  const seen = new Set<string>();
  const read = (path: string): void => {
    if (seen.has(path) || !existsSync(join(root, path))) return;
    seen.add(path);
    const text = readFileSync(join(root, path), 'utf8');
    const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
    const visit = (node: ts.Node): void => {
      if (ts.isCallExpression(node)) {
        const [title] = node.arguments;
        if (title && ts.isStringLiteralLike(title) && isTest(node.expression))
          titles.push(title.text);
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
    if (path !== file) return;
    for (const { fileName } of ts.preProcessFile(text, true, true).importedFiles) {
      const imported = normalize(relative(root, join(root, dirname(path), fileName)));
      if (fileName.startsWith('.') && imported.startsWith('test/')) read(imported);
    }
  };
  read(file);
  return titles;
}

/** `it`, `it.each(…)` and the like. */
function isTest(callee: ts.Expression): boolean {
  if (ts.isIdentifier(callee)) return callee.text === 'it' || callee.text === 'test';
  if (ts.isPropertyAccessExpression(callee) || ts.isCallExpression(callee))
    return isTest(callee.expression);
  return false;
}
