import { join } from 'node:path';
import type { Scenario } from './result.ts';
import { compareVariants } from './variants.ts';

const rounds = 16;

/** What events cost, from the record of a payment to their delivery: the same payments with and without them, both with an audit log. */
export const events: Scenario = async (options) => {
  const path = JSON.stringify(join(options.folder, 'events.jsonl'));
  const { table, note, added } = await compareVariants(
    options,
    [
      { name: 'without', label: 'audit log', yaml: '' },
      {
        name: 'with',
        label: 'audit log and events',
        yaml: `events: { file: { path: ${path} } }\n`,
      },
    ],
    rounds,
  );
  return {
    table,
    notes: [`${note}; delivery to a file`],
    figures: [
      {
        name: 'CPU of a payment that events add, of one without them',
        value: added('with', 'without'),
        goal: { atMost: 0.05 },
      },
    ],
  };
};
