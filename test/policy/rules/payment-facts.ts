import { parseAddress } from '../../../src/pm/bytes.ts';
import type { Address } from '../../../src/pm/bytes.ts';
import { type Rational, rational } from '../../../src/pm/rational.ts';
import type { PaymentFacts } from '../../../src/policy/rules/facts.ts';

/** `0x` and 40 times the same hex digit. */
export function addressOf(digit: string): Address {
  const address = parseAddress(`0x${digit.repeat(40)}`);
  if (!address) throw new Error(`${digit} is no hex digit`);
  return address;
}

/** exact wei from whole numbers */
export function wei(numerator: bigint, denominator = 1n): Rational {
  return rational(numerator, denominator);
}

/** One ticket of 100 wei of EV, the first of a session, paid by gateway-1 of acme; parts can be replaced. */
export function paymentFacts(parts: Partial<PaymentFacts> = {}): PaymentFacts {
  const now = 1_800_000_000_000_000_000n;
  return {
    kind: 'payment',
    principal: { id: 'gateway-1', tenant: 'acme', attributes: {} },
    app: 'studio',
    orchestrator: addressOf('a'),
    recipient: addressOf('b'),
    models: [{ capability: 35, model: 'noop' }],
    type: 'lv2v',
    price: wei(1_000n),
    ticketEv: wei(100n),
    faceValue: 10_000n,
    tickets: 1n,
    session: { isNew: true, ev: 0n, startedAt: now },
    weiPerUsd: { ofSession: undefined, now: undefined },
    now,
    ...parts,
  };
}

export function principalOf(id: string, tenant = ''): PaymentFacts['principal'] {
  return { id, tenant, attributes: {} };
}
