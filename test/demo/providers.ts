/**
 * `npm run demo:providers`: the demo with a key in each kind of provider, one after the other. Ends with exit code 0 only if
 * each orchestrator accepted every payment. AWS KMS is played by local-kms (https://github.com/nsmithuk/local-kms) when
 * `LOCAL_KMS` names its program, else by a server of the tests.
 *
 *   node test/demo/providers.ts [--payments N]
 */
import { parseArgs } from 'node:util';
import { keyPeers } from './key-peers.ts';
import { failuresOf, type ProviderDemo, runWithPeer } from './run-with-peer.ts';
import { type Column, formatHeading, formatRow } from './table.ts';

const columns: readonly Column[] = [
  { heading: 'provider', width: 24, align: 'left' },
  { heading: 'pays as', width: 42, align: 'left' },
  { heading: 'payments', width: 8, align: 'right' },
  { heading: 'tickets', width: 7, align: 'right' },
  { heading: 'winners', width: 7, align: 'right' },
  { heading: 'time', width: 7, align: 'right' },
  { heading: 'verdict', width: 7, align: 'left' },
];

const { values } = parseArgs({ options: { payments: { type: 'string', default: '12' } } });
const demos: ProviderDemo[] = [];
console.log(formatHeading(columns));
const aws = process.env['LOCAL_KMS'] === undefined ? 'wire server' : 'local-kms';
for (const start of keyPeers(aws)) {
  const demo = await runWithPeer(start, Number(values.payments));
  demos.push(demo);
  console.log(formatDemo(demo));
}
const failures = demos.flatMap((demo) => failuresOf(demo).map((text) => `${demo.name}: ${text}`));
for (const failure of failures) console.error(`\n${failure}`);
console.log(
  failures.length === 0
    ? `\nEvery payment was accepted with each of ${demos.length} providers.`
    : `\n${failures.length} expectations failed.`,
);
process.exitCode = failures.length === 0 ? 0 : 1;

function formatDemo(demo: ProviderDemo): string {
  const verdict = failuresOf(demo).length === 0 ? 'ok' : 'FAIL';
  if ('failure' in demo) return formatRow(columns, [demo.name, '', '', '', '', '', verdict]);
  const { address, payments, tickets, winningTickets, elapsedMs } = demo.result;
  const seconds = `${(elapsedMs / 1000).toFixed(1)} s`;
  const figures = [payments, tickets, winningTickets].map(String);
  return formatRow(columns, [demo.name, address, ...figures, seconds, verdict]);
}
