import { z } from 'zod';
import { parseAddress } from '../pm/bytes.ts';
import { parseRational } from '../pm/rational.ts';
import { capabilityOfPipeline, pipelineNames } from '../policy/pipelines.ts';
import type { PaymentType } from '../pm/billing.ts';
import type { Usd } from '../pm/usd.ts';
import {
  type WrittenPrice,
  describeUsdPrice,
  parseAmount,
  parseUsd,
  pricePerUnit,
} from './units.ts';

/** a whole number, 0 or more */
export const count = z.int().nonnegative().transform(BigInt);

/** up to an hour */
export const milliseconds = z.int().positive().max(3_600_000);

/** an IPv4 or IPv6 address, or a network of them */
export const network = z.union(
  [z.cidrv4(), z.cidrv6(), z.ipv4(), z.ipv6()],
  'expected an IP address, or a network such as 10.0.0.0/8',
);

/** an Ethereum address */
export const address = z.string().transform((text, context) => {
  const parsed = parseAddress(text);
  if (parsed) return parsed;
  context.addIssue({ code: 'custom', message: 'expected 0x and 40 hex digits' });
  return z.NEVER;
});

const amountHint = 'an amount with its unit, such as "0.5 ether", "30 gwei" or "1200 wei"';

/** wei, possibly a fraction */
export const amount = z.string(`expected ${amountHint}`).transform((text, context) => {
  const wei = parseAmount(text);
  if (wei) return wei;
  context.addIssue({ code: 'custom', message: `expected ${amountHint}` });
  return z.NEVER;
});

const moneyHint = 'an amount with its unit, such as "0.5 ether", "1200 wei" or "0.05 usd"';

/** wei, or US dollars */
export const money = z.string(`expected ${moneyHint}`).transform((text, context) => {
  const wei = parseAmount(text);
  if (wei) return wei;
  const dollars = parseUsd(text);
  if (dollars && !dollars.isHourly) return { usd: dollars.usd };
  context.addIssue({ code: 'custom', message: `expected ${moneyHint}` });
  return z.NEVER;
});

/** whole wei, or US dollars */
export const wholeMoney = money.transform((amount, context): bigint | Usd => {
  if ('usd' in amount) return amount;
  if (amount.denominator === 1n) return amount.numerator;
  context.addIssue({ code: 'custom', message: 'expected whole wei' });
  return z.NEVER;
});

const priceHint = 'a price, such as "1200 wei", "3.6 usd/hour" or, for requests, "0.05 usd"';

/** wei per pixel, second or request, or US dollars an hour or a request */
export const price = z.string(`expected ${priceHint}`).transform((text, context): WrittenPrice => {
  const written = parseAmount(text) ?? parseUsd(text);
  if (written) return written;
  context.addIssue({ code: 'custom', message: `expected ${priceHint}` });
  return z.NEVER;
});

/** the price of what a payment type bills */
export function priceOf(type: PaymentType) {
  return price.transform((written, context) => {
    const perUnit = pricePerUnit(written, type);
    if (perUnit) return perUnit;
    context.addIssue({
      code: 'custom',
      message: `in US dollars, expected ${describeUsdPrice(type)}`,
    });
    return z.NEVER;
  });
}

/** whole wei */
export const wholeAmount = amount.transform((wei, context) => {
  if (wei.denominator === 1n) return wei.numerator;
  context.addIssue({ code: 'custom', message: 'expected whole wei' });
  return z.NEVER;
});

const rateHint =
  'a positive number, such as 312500000000000, or "1000000000000000000/3200" as text';

/** wei that a US dollar is worth */
export const rate = z
  .union([z.int(), z.string()], `expected ${rateHint}`)
  .transform((value, context) => {
    const wei = parseRational(String(value));
    if (wei && wei.numerator > 0n) return wei;
    context.addIssue({ code: 'custom', message: `expected ${rateHint}` });
    return z.NEVER;
  });

/** a pipeline's name, as its capability number */
export const pipeline = z.string().transform((name, context) => {
  const capability = capabilityOfPipeline(name);
  if (capability !== undefined) return capability;
  context.addIssue({
    code: 'custom',
    message: `there is no such pipeline; there are ${pipelineNames.join(', ')}`,
  });
  return z.NEVER;
});
