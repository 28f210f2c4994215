/**
 * `npm run demo`: a signer and two sandbox orchestrators, and a gateway that pays both through the signer. Ends with exit
 * code 0 only if everything that the demo claims has happened; on SIGINT and SIGTERM with what shells say of those.
 *
 *   node test/demo/demo.ts [--config FILE]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { onStopSignal } from '../../src/cli/stop-signals.ts';
import { ProcessGroup } from './managed-process.ts';
import { runDemo } from './run-demo.ts';

const { values } = parseArgs({
  options: { config: { type: 'string', default: 'config/dev.yaml' } },
});
const processes = new ProcessGroup();
/** 128 and the signal's number, from when it was told to stop. */
let stopCode: number | undefined;
const toldToStop = new Promise<never>((_, reject) => {
  onStopSignal((signal) => {
    stopCode = 128 + constants.signals[signal];
    reject(new Error(signal));
  });
});
/** An audit log has one writer, and a signer with the same configuration may be running. */
const audit = mkdtempSync(join(tmpdir(), 'livepeer-hsm-signer-demo-audit-'));
try {
  const running = runDemo({
    config: values.config,
    environment: { LIVEPEER_HSM_SIGNER__AUDIT__PATH: audit },
    paymentsPerSession: 12,
    processes,
    print: (line) => {
      if (stopCode === undefined) console.log(line);
    },
  });
  const { expectations, elapsedMs } = await Promise.race([running, toldToStop]);
  console.log('');
  for (const { claim, holds } of expectations) console.log(`${holds ? 'ok  ' : 'FAIL'}  ${claim}`);
  const failed = expectations.filter(({ holds }) => !holds).length;
  const verdict =
    failed === 0
      ? `All ${expectations.length} expectations held`
      : `${failed} of ${expectations.length} expectations failed`;
  console.log(`\n${verdict} after ${(elapsedMs / 1000).toFixed(1)} s.`);
  process.exitCode = failed === 0 ? 0 : 1;
} catch (error) {
  if (stopCode !== undefined) {
    console.log(
      '\nThe demo was stopped before its end: it has shown nothing, and leaves nothing running.',
    );
    process.exitCode = stopCode;
  } else {
    console.error(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}`);
    console.error(processes.stderr);
    process.exitCode = 1;
  }
} finally {
  await processes.stop();
  rmSync(audit, { recursive: true, force: true });
}
