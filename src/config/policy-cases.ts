import { z } from 'zod';
import { addressFromBytes } from '../pm/bytes.ts';
import type { Spend } from '../policy/limits/ledger.ts';
import { type PaymentFacts, byocJobFacts } from '../policy/rules/facts.ts';
import { address, amount, count, rate, wholeAmount } from './fields.ts';
import { parsePolicyYaml } from './parse-policy-yaml.ts';
import { capability, duration, paymentType, requestKind } from './policy-schema.ts';

const zeroAddress = addressFromBytes(new Uint8Array());
const year = 366 * 86_400_000;

/** A payment as people write it: what is left out is empty or 0, and the payment has one ticket and begins a session. */
const request = z.strictObject({
  /** of a BYOC job only principal, tenant and capability count */
  kind: requestKind.default('payment'),
  principal: z.string().default(''),
  tenant: z.string().default(''),
  app: z.string().default(''),
  orchestrator: address.prefault(zeroAddress),
  recipient: address.prefault(zeroAddress),
  capability: z.array(capability).default([]),
  type: paymentType.prefault('untyped'),
  /** per pixel, second or request */
  price: amount.prefault('0 wei'),
  ticketEv: amount.prefault('0 wei'),
  faceValue: wholeAmount.prefault('0 wei'),
  tickets: count.prefault(1),
  /** what a US dollar is worth, where the policy has amounts in USD */
  weiPerUsd: rate.optional(),
  /** the session that the payment continues: what was spent in it, and for how long it has run */
  session: z
    .strictObject({ ev: wholeAmount.prefault('0 wei'), age: duration(0, year).prefault('0s') })
    .optional(),
});

const spent = z.strictObject({
  ev: wholeAmount.prefault('0 wei'),
  tickets: count.prefault(0),
  sessions: count.prefault(0),
});

const testCase = z
  .strictObject({
    name: z.string().min(1),
    request: request.prefault({}),
    /** what was spent before in the windows of rules, by the rule's id; 0 where it is left out */
    spent: z.record(z.string(), spent).default({}),
    expect: z.enum(['allow', 'deny']),
    /** the rule that the denial names */
    rule: z.string().optional(),
    /** the rules in mode `observe` that report something, in any order */
    observed: z.array(z.string()).optional(),
  })
  .refine(({ rule, expect }) => rule === undefined || expect === 'deny', {
    path: ['rule'],
    message: 'expected with `expect: deny` only: it is the rule that denies',
  });

const caseFile = z.strictObject({
  /** the policy file, from the folder of this one */
  policy: z.string().min(1),
  cases: z.array(testCase).min(1, 'expected at least one case'),
});

export type PolicyCase = {
  readonly name: string;
  readonly facts: PaymentFacts;
  /** by the id of the rule whose window it is */
  readonly spent: ReadonlyMap<string, Spend>;
  readonly expect: 'allow' | 'deny';
  readonly rule: string | undefined;
  readonly observed: readonly string[] | undefined;
};

/** Reads a file of cases for a policy. Throws `CONFIG_INVALID` with every problem and its path. */
export function parseCases(
  text: string,
  path: string,
): { readonly policy: string; readonly cases: readonly PolicyCase[] } {
  const { policy, cases } = parsePolicyYaml(caseFile, text, path, 'file of policy cases');
  return {
    policy,
    cases: cases.map(({ request, name, spent, expect, rule, observed }) => ({
      facts: readFacts(request),
      name,
      spent: new Map(Object.entries(spent)),
      expect,
      rule,
      observed,
    })),
  };
}

/** Reads one payment, as JSON or YAML. Throws `CONFIG_INVALID` with every problem and its path. */
export function parseRequest(text: string, path: string): PaymentFacts {
  return readFacts(parsePolicyYaml(request, text, path, 'payment'));
}

const nanosecondsPerMillisecond = 1_000_000n;

function readFacts({
  principal,
  tenant,
  capability,
  session,
  weiPerUsd,
  ...payment
}: z.output<typeof request>): PaymentFacts {
  // rules only see how long a session has run, so any time will do
  const now = BigInt(year) * nanosecondsPerMillisecond;
  const age = BigInt(session?.age ?? 0) * nanosecondsPerMillisecond;
  const who = { id: principal, tenant, attributes: {} };
  const models = capability.map(({ capability, model = '' }) => ({ capability, model }));
  if (payment.kind === 'byocJob') return byocJobFacts(who, models, now);
  return {
    ...payment,
    principal: who,
    models,
    session: { isNew: session === undefined, ev: session?.ev ?? 0n, startedAt: now - age },
    weiPerUsd: { ofSession: weiPerUsd, now: weiPerUsd },
    now,
  };
}
