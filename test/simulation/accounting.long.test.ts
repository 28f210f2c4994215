import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestSigner, type TestSigner } from '../support/test-signer.ts';
import { loseEach, playSession } from './accounting.ts';

describe('the default rule, in sessions of two hours', () => {
  let signer: TestSigner;
  beforeAll(async () => {
    signer = await startTestSigner();
  });
  afterAll(() => signer.close());

  for (const type of ['live', 'lv2v'] as const) {
    for (const pollSeconds of [3n, 10n]) {
      for (const evSeconds of [120n, 300n, 600n]) {
        it(`never has a session dropped, whichever payment is lost: ${type}, tickets of ${evSeconds} s, polls every ${pollSeconds} s`, async () => {
          const terms = { type, evSeconds, pollSeconds, durationSeconds: 7200n };
          const scenario = { rule: 'keep-one-ticket', ...terms } as const;
          const { payments } = await playSession(signer, scenario, { tieOrder: 'debit first' });
          expect(payments.length).toBeGreaterThanOrEqual(12);
          const dropped = loseEach(scenario, payments, 'debit first').filter(
            ({ droppedAtNs }) => droppedAtNs !== undefined,
          );
          expect(dropped).toEqual([]);
        });
      }
    }
  }
});
