import { expect, it } from 'vitest';
import { runFuzzer } from './run-fuzzer.ts';

/** of each target */
const seconds = Number(process.env['LIVEPEER_HSM_SIGNER_FUZZ_SECONDS'] ?? 3600);

it(
  `finds nothing wrong in ${seconds} seconds of each decoder`,
  async () => {
    const reports = await runFuzzer('all', '--seconds', String(seconds));
    console.table(reports.map(({ finds, ...figures }) => ({ ...figures, finds: finds.length })));
    expect(reports.length).toBeGreaterThan(20);
    for (const { target, inputs, finds } of reports) {
      expect(finds, target).toEqual([]);
      expect(inputs, target).toBeGreaterThan(seconds);
    }
  },
  30 * (seconds + 60) * 1000,
);
