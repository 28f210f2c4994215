import type {
  Capability,
  Conditions,
  Limit,
  Policy,
  Rule,
  TypeName,
  Window,
} from './naive-judge.ts';
import { ticketEv } from './guarded-signer.ts';
import type { Fate } from './troubled-key.ts';
import { fc } from '../support/fast-check.ts';

// few values each, so that conditions hold often enough
const payers = ['acme:alice', 'acme:bob', 'globex:carol'];
const apps = ['app-a', 'app-b'];
const orchestrators = [`0x${'a1'.repeat(20)}`, `0x${'a2'.repeat(20)}`];
const recipients = [`0x${'b1'.repeat(20)}`, `0x${'b2'.repeat(20)}`];
const models = ['one', 'two'];
const pipelines = ['llm', 'text-to-image'] as const;

/** How much a payment of a type costs is a whole number of tickets, from 1 to this. */
const mostTickets = 5;

/** A session's payments go back and forth between so many ticket parameters. */
export const paramSets = 2;

/** What the signer is asked for, in turn. */
export type Step =
  | {
      /** a session's first payment */
      readonly kind: 'first';
      readonly payer: string;
      readonly app: string;
      readonly orchestrator: string;
      readonly recipient: string;
      readonly capabilities: readonly Capability[];
      readonly type: TypeName;
      /** tickets that the use is worth, in each payment or minute of the session */
      readonly size: number;
      readonly params: number;
      readonly fate: Fate;
      /** whether it has an Idempotency-Key */
      readonly isIdempotent: boolean;
    }
  | {
      /** a payment that goes on from one of the states handed out so far, used before or not */
      readonly kind: 'next';
      readonly state: number;
      /** undefined for the session's own */
      readonly payer: string | undefined;
      readonly capabilities: readonly Capability[];
      readonly size: number;
      /** which of {@link paramSets} ticket parameters */
      readonly params: number;
      readonly fate: Fate;
    }
  | {
      /** one of the requests so far, once more */
      readonly kind: 'again';
      readonly request: number;
    };

function subsetOf<Value>(values: readonly Value[]): fc.Arbitrary<Value[]> {
  return fc.subarray([...values], { minLength: 1 });
}

const type: fc.Arbitrary<TypeName> = fc.constantFrom('untyped', 'fixed', 'live', 'lv2v');

const patterns = pipelines.flatMap((pipeline) => [
  pipeline as string,
  ...models.map((model) => `${pipeline}/${model}`),
]);

/** Up to two, for rules with more hardly ever match. */
const conditions: fc.Arbitrary<Conditions> = fc
  .tuple(
    fc.record({
      principal: subsetOf(payers),
      tenant: subsetOf(['acme', 'globex']),
      app: subsetOf(apps),
      orchestrator: subsetOf(orchestrators),
      recipient: subsetOf(recipients),
      capability: subsetOf(patterns),
      type: subsetOf(['untyped', 'fixed', 'live', 'lv2v'] as const),
    }),
    fc.array(
      fc.constantFrom(
        ...(['principal', 'tenant', 'app', 'orchestrator', 'recipient', 'capability'] as const),
        'type' as const,
      ),
      { maxLength: 2 },
    ),
  )
  .map(([all, kept]) => Object.fromEntries(kept.map((key) => [key, all[key]])));

const worth = fc.integer({ min: 1, max: 30 }).map((tickets) => BigInt(tickets) * ticketEv);
const fewTickets = fc.integer({ min: 1, max: 12 });

const someLimits: fc.Arbitrary<Limit> = fc
  .record(
    {
      ticketEv: fc.constantFrom(ticketEv - 1n, ticketEv, 2n * ticketEv),
      totalEv: worth,
      faceValue: fc.constantFrom(3n * ticketEv - 1n, 3n * ticketEv, 4n * ticketEv),
      tickets: fewTickets,
      sessionEv: worth,
      sessionDuration: fc.constantFrom('1m', '2m', '4m'),
    },
    { requiredKeys: [] },
  )
  .filter((limits) => Object.keys(limits).length > 0 && Object.keys(limits).length < 4);

const someWindow: fc.Arbitrary<Window> = fc
  .record(
    {
      per: fc.constantFrom('principal', 'tenant', 'orchestrator', 'app', 'all'),
      every: fc.constantFrom('1h', '7d'),
      ev: worth,
      tickets: fc.integer({ min: 1, max: 30 }),
      sessions: fc.integer({ min: 1, max: 4 }),
    },
    { requiredKeys: ['per', 'every'] },
  )
  .filter((window) => Object.keys(window).length > 2);

/** Around the prices that the types have for 1 to 5 tickets. */
const priceLimits: Readonly<Record<TypeName, readonly string[]>> = {
  untyped: ['999999999.5 wei', '1000000000 wei'],
  fixed: ['2000000000 wei', '3500000000.75 wei'],
  live: ['33333333 wei', '50000000 wei', '66666667.5 wei'],
  lv2v: ['0.6 wei', '1.81 wei', '2.5 wei'],
};

const effect: fc.Arbitrary<Omit<Rule, 'id'>> = fc.oneof(
  { weight: 5, arbitrary: fc.constant({ then: 'allow' as const }) },
  { weight: 1, arbitrary: fc.constant({ then: 'deny' as const }) },
  { weight: 3, arbitrary: someLimits.map((limit) => ({ limit })) },
  { weight: 3, arbitrary: someWindow.map((window) => ({ window })) },
);

const plainRule: fc.Arbitrary<Omit<Rule, 'id'>> = fc
  .tuple(effect, conditions)
  .map(([effect, when]) => ({ when, ...effect }));

const priceRule: fc.Arbitrary<Omit<Rule, 'id'>> = type.chain((type) =>
  fc
    .constantFrom(...priceLimits[type])
    .map((price) => ({ when: { type: [type] }, limit: { price } })),
);

const rule: fc.Arbitrary<Omit<Rule, 'id'>> = fc
  .tuple(
    fc.oneof({ weight: 4, arbitrary: plainRule }, { weight: 1, arbitrary: priceRule }),
    fc.constantFrom({}, { mode: 'enforce' as const }, { mode: 'observe' as const }),
  )
  .map(([rule, mode]) => ({ ...rule, ...mode }));

/** A policy, and its rules in another order. */
export const policyInTwoOrders: fc.Arbitrary<{
  readonly policy: Policy;
  readonly reordered: Policy;
}> = fc
  .record({
    default: fc.constantFrom('allow', 'allow', 'deny'),
    rules: fc.array(rule, { maxLength: 7 }),
  })
  .chain(({ default: byDefault, rules: withoutIds }) => {
    const rules = withoutIds.map((rule, index) => ({ id: `rule-${index}`, ...rule }));
    return fc.record({
      policy: fc.constant({ default: byDefault, rules }),
      reordered: fc
        .shuffledSubarray(rules, { minLength: rules.length })
        .map((shuffled) => ({ default: byDefault, rules: shuffled })),
    });
  });

const capabilities: fc.Arbitrary<Capability[]> = fc.uniqueArray(
  fc.record({ pipeline: fc.constantFrom(...pipelines), model: fc.constantFrom(...models) }),
  { maxLength: 2, selector: ({ pipeline, model }) => `${pipeline}/${model}` },
);

const payer = fc.constantFrom('', ...payers);
const size = fc.integer({ min: 1, max: mostTickets });

const params = fc.nat({ max: paramSets - 1 });
const fate: fc.Arbitrary<Fate> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ kind: 'served' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('client leaves' as const, 'key fails' as const),
      call: fc.nat({ max: 11 }),
    }),
  },
);

const first: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant('first' as const),
  payer,
  app: fc.constantFrom('', ...apps),
  orchestrator: fc.constantFrom(...orchestrators),
  recipient: fc.constantFrom(...recipients),
  capabilities,
  type,
  size,
  params,
  fate,
  isIdempotent: fc.boolean(),
});

const next: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant('next' as const),
  state: fc.nat(),
  payer: fc.oneof(
    { weight: 4, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: payer },
  ),
  capabilities,
  size,
  params,
  fate,
});

const again: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant('again' as const),
  request: fc.nat(),
});

const later = fc.oneof(
  { weight: 4, arbitrary: first },
  { weight: 5, arbitrary: next },
  { weight: 2, arbitrary: again },
);

/** Ten requests, of which the first begins a session. */
export const steps: fc.Arbitrary<Step[]> = fc
  .tuple(first, fc.array(later, { minLength: 9, maxLength: 9 }))
  .map(([begin, others]) => [begin, ...others]);
