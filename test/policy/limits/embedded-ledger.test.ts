import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbeddedLedger } from '../../../src/policy/limits/embedded/embedded-ledger.ts';
import { describeLedger } from './ledger-cases.ts';

describeLedger('the embedded ledger', async (clock) => {
  const folder = await mkdtemp(join(tmpdir(), 'livepeer-hsm-signer-ledger-'));
  const options = { folder, log: () => undefined, now: () => clock.timeMs };
  const ledger = await openEmbeddedLedger(options);
  const other = await openEmbeddedLedger(options);
  return {
    ledger,
    other,
    async [Symbol.asyncDispose]() {
      await Promise.all([ledger.close(), other.close()]);
      await rm(folder, { recursive: true });
    },
  };
});
