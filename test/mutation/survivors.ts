import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Mutant } from './mutants.ts';

const entrySchema = z.strictObject({
  /** path from the root of the repository */
  file: z.string(),
  /** `FROM => TO`, as {@link nameMutants} names it */
  mutant: z.string(),
  /** equivalent: nobody could tell it from the original; accepted: one could, and no test shall */
  kind: z.enum(['equivalent', 'accepted']),
  reason: z.string().min(20),
});

export type Listed = z.infer<typeof entrySchema>;

/** The survivors that are known, each with its reason. */
export function readListed(): Listed[] {
  const text = readFileSync(join(import.meta.dirname, 'survivors.json'), 'utf8');
  return z.array(entrySchema).parse(JSON.parse(text));
}

/**
 * Each with a name that stays when lines move: the lines touched before and after, and where a file has these lines several
 * times, which of them it is.
 */
export function nameMutants<Kind extends Mutant>(
  mutants: readonly Kind[],
): (Kind & { name: string })[] {
  const counts = new Map<string, number>();
  return mutants.map((mutant) => {
    const text = `${mutant.from} => ${mutant.to}`;
    const count = (counts.get(text) ?? 0) + 1;
    counts.set(text, count);
    return { ...mutant, name: count === 1 ? text : `${text} #${count}` };
  });
}
