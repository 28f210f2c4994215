import { z } from 'zod';
import { parseAddress } from '../pm/bytes.ts';
import { capabilityOfPipeline, pipelineNames } from '../policy/pipelines.ts';
import { parseAmount } from './units.ts';

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

/** whole wei */
export const wholeAmount = amount.transform((wei, context) => {
  if (wei.denominator === 1n) return wei.numerator;
  context.addIssue({ code: 'custom', message: 'expected whole wei' });
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
