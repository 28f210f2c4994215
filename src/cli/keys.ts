import { checksum } from 'ox/Address';
import { loadConfig } from '../config/load.ts';
import { ConfigError } from '../errors.ts';
import { type KeyReport, runSafeConformance } from '../keys/conformance/safe.ts';
import { publicKeyToAddress } from '../keys/signature.ts';
import { createProviderContext, openKey } from '../main.ts';
import { createLogger } from '../ops/logger.ts';

type Options = { config: string };

const logger = createLogger('warn');
const openTimeoutMs = 30_000;
const exitFailure = 1;

/** `keys new`: makes the key; one that is there already is an error. */
export async function newKey(options: Options): Promise<void> {
  const config = await loadConfig(options.config);
  const { plugin, section } = config.key;
  if (!plugin.generateKey) {
    throw new ConfigError('CONFIG_INVALID', `key provider ${plugin.name} can't make keys`);
  }
  const { keyRef, publicKey } = await plugin.generateKey(
    section,
    createProviderContext(config, logger),
  );
  process.stdout.write(`made ${keyRef}\naddress ${checksum(publicKeyToAddress(publicKey))}\n`);
}

/** `keys show`: reads the public key; nothing is signed. */
export async function showKey(options: Options): Promise<void> {
  const config = await loadConfig(options.config);
  const { plugin, section } = config.key;
  const provider = await plugin.open(section, createProviderContext(config, logger));
  try {
    const publicKey = await provider.getPublicKey({ signal: AbortSignal.timeout(openTimeoutMs) });
    process.stdout.write(
      `key     ${provider.keyRef}\naddress ${checksum(publicKeyToAddress(publicKey))}\n`,
    );
  } finally {
    await provider.close();
  }
}

/**
 * `keys check`: opens the key as `serve` does, runs the part of the conformance suite that a key in service can take, and
 * prints what it found. It signs nothing but self-tests. The exit status is 1 when a check has failed.
 */
export async function checkKey(options: Options): Promise<void> {
  const config = await loadConfig(options.config);
  const startedAt = performance.now();
  const { provider, policy, gate } = await openKey(config, logger);
  const readyAfterMs = Math.round(performance.now() - startedAt);
  const sender = gate.address;
  try {
    const report = await runSafeConformance({
      provider,
      address: sender,
      signSelfTest: async (call) => {
        const [signature] = await gate.sign(policy.grantOwn({ kind: 'self-test', sender }), call);
        return signature ?? new Uint8Array();
      },
    });
    printRows([
      ['provider', config.key.plugin.name],
      ['key', report.keyRef],
      ['address', checksum(report.address)],
      ...Object.entries(report.attributes),
      ['self-test', `signed and verified; ready after ${readyAfterMs} ms`],
      ...describeLatency(report),
      ...report.checks.map(({ name, failure }): Row => [
        'check',
        failure === undefined ? `passed: it ${name}` : `FAILED: it ${name}: ${failure}`,
      ]),
      ['verdict', report.isSound ? 'sound' : 'NOT SOUND'],
    ]);
    if (!report.isSound) process.exitCode = exitFailure;
  } finally {
    await provider.close();
  }
}

type Row = readonly [name: string, value: string];

function describeLatency({ latencyMs }: KeyReport): Row[] {
  if (!latencyMs) return [];
  const { p50, p95, signatures } = latencyMs;
  return [
    [
      'latency',
      `p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms of ${signatures} signatures, one after the other`,
    ],
  ];
}

function printRows(rows: readonly Row[]): void {
  const width = Math.max(...rows.map(([name]) => name.length));
  for (const [name, value] of rows) process.stdout.write(`${name.padEnd(width)}  ${value}\n`);
}
