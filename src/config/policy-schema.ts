import { z } from 'zod';
import type { PaymentType } from '../pm/billing.ts';
import type { CapabilityPattern } from '../policy/rules/compile.ts';
import { formatDuration, parseDuration } from '../policy/rules/duration.ts';
import { address, count, money, pipeline, price, wholeMoney } from './fields.ts';
import { describeUsdPrice, pricePerUnit } from './units.ts';

const day = 86_400_000;

/** a time, as milliseconds */
export function duration(least: number, most: number) {
  const expected = `expected a time from ${formatDuration(least)} to ${formatDuration(most)}, such as "90s", "15m", "4h" or "7d"`;
  return z.string(expected).transform((text, context) => {
    const milliseconds = parseDuration(text);
    if (milliseconds !== undefined && milliseconds >= least && milliseconds <= most) {
      return milliseconds;
    }
    context.addIssue({ code: 'custom', message: expected });
    return z.NEVER;
  });
}

function listOf<Item extends z.ZodType>(item: Item) {
  return z.array(item).min(1, 'expected at least one value').exactOptional();
}

const name = z.string().min(1);

/** a pipeline's name, alone or followed by a slash and a model id */
export const capability = z.string().transform((text, context): CapabilityPattern => {
  const slash = text.indexOf('/');
  const parsed = pipeline.safeParse(slash < 0 ? text : text.slice(0, slash));
  const model = slash < 0 ? undefined : text.slice(slash + 1);
  if (parsed.success && model !== '') return { capability: parsed.data, model };
  const message = parsed.error?.issues[0]?.message ?? 'expected PIPELINE or PIPELINE/MODEL';
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

const typeOfName = { lv2v: 'lv2v', live: 'live', fixed: 'fixed', untyped: '' } as const;

/** a payment type; `untyped` is that of requests without one */
export const paymentType = z
  .enum(['lv2v', 'live', 'fixed', 'untyped'])
  .transform((name): PaymentType => typeOfName[name]);

/** the kind of request: a payment, or the signature of a BYOC job */
export const requestKind = z.enum(['payment', 'byocJob']);

const conditions = z.strictObject({
  kind: listOf(requestKind),
  principal: listOf(name),
  tenant: listOf(name),
  app: listOf(name),
  orchestrator: listOf(address),
  recipient: listOf(address),
  capability: listOf(capability),
  type: listOf(paymentType),
});

const limit = z.strictObject({
  /** per pixel, second or request */
  price: price.exactOptional(),
  ticketEv: money.exactOptional(),
  totalEv: wholeMoney.exactOptional(),
  faceValue: wholeMoney.exactOptional(),
  tickets: count.exactOptional(),
  sessionEv: wholeMoney.exactOptional(),
  sessionDuration: duration(1_000, 366 * day).exactOptional(),
});

const window = z.strictObject({
  per: z.enum(['principal', 'tenant', 'orchestrator', 'app', 'all']),
  every: duration(60_000, 31 * day),
  ev: wholeMoney.exactOptional(),
  tickets: count.exactOptional(),
  sessions: count.exactOptional(),
});

const effects = ['then', 'limit', 'window'] as const;

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** These checks run even where a rule's fields have problems of their own, so that all problems are reported at once. */
const rule = z
  .strictObject({
    /** the same in the log, metrics, audit records and denials */
    id: z
      .string()
      .regex(
        /^[a-z0-9][a-z0-9-]{0,62}$/,
        'expected 1 to 63 lower-case letters, digits and hyphens, no hyphen first',
      ),
    mode: z.enum(['enforce', 'observe']).default('enforce'),
    /** All conditions must hold; without any, the rule is for every payment. */
    when: conditions.default({}),
    then: z.enum(['allow', 'deny']).optional(),
    limit: limit.optional(),
    window: window.optional(),
  })
  .superRefine(
    (rule, context) => {
      const given = effects.filter((effect) => rule[effect] !== undefined);
      if (given.length !== 1) {
        const found = given.length === 0 ? 'none' : given.join(' and ');
        context.addIssue(`expected exactly one of ${effects.join(', ')}, found ${found}`);
      }
      const types = typesOf(rule.when);
      if (rule.limit?.price !== undefined && types.length !== 1) {
        context.addIssue({
          code: 'custom',
          path: ['limit', 'price'],
          message:
            'expected when.type with a single type beside it: prices are per pixel, second or request',
        });
      }
      const [type] = types;
      const written = rule.limit?.price;
      if (isObject(written) && type !== undefined && !pricePerUnit(written, type)) {
        context.addIssue({
          code: 'custom',
          path: ['limit', 'price'],
          message: `in US dollars, expected ${describeUsdPrice(type)}`,
        });
      }
      requireLimit('limit', rule.limit, context);
      if (rule.window) {
        const { ev, tickets, sessions } = rule.window;
        requireLimit('window', { ev, tickets, sessions }, context);
      }
    },
    { when: ({ value }) => isObject(value) },
  );

/** The payment types in a condition that has not been checked yet. */
function typesOf(when: unknown): readonly PaymentType[] {
  return isObject(when) && 'type' in when && Array.isArray(when.type)
    ? (when.type as PaymentType[])
    : [];
}

function requireLimit(
  key: 'limit' | 'window',
  limits: object | undefined,
  context: z.RefinementCtx,
): void {
  if (!limits || Object.values(limits).some((value) => value !== undefined)) return;
  const message = `expected at least one limit, such as ${key === 'window' ? 'ev or tickets' : 'price or totalEv'}`;
  context.addIssue({ code: 'custom', path: [key], message });
}

const rules = z.array(rule).superRefine(
  (rules, context) => {
    const ids = rules.map((rule: unknown) => (isObject(rule) && 'id' in rule ? rule.id : rule));
    for (const [index, id] of ids.entries()) {
      if (typeof id !== 'string' || ids.indexOf(id) === index) continue;
      const message = `another rule is called ${id} already`;
      context.addIssue({ code: 'custom', path: [index, 'id'], message });
    }
  },
  { when: ({ value }) => Array.isArray(value) },
);

/** The policy file; docs/policy.md explains each field to operators. */
export const policySchema = z.strictObject({
  /** for payments that no rule allows and none denies */
  default: z.enum(['allow', 'deny']),
  rules: rules.default([]),
});

/** The JSON Schema (draft 2020-12) of policy files. It is less strict than `parsePolicy`: amounts are any text in it. */
export function describePolicy(): object {
  return z.toJSONSchema(policySchema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      if (zodSchema === rule) jsonSchema.oneOf = effects.map((effect) => ({ required: [effect] }));
    },
  });
}
