import { resolve } from 'node:path';
import type { Command } from 'commander';
import { checksum } from 'ox/Address';
import { type Config, type KeyConfig, loadConfig } from '../config/load.ts';
import { readSecret } from '../config/secrets.ts';
import { ConfigError } from '../errors.ts';
import { type KeyReport, runSafeConformance } from '../keys/conformance/safe.ts';
import type { KeyToImport } from '../keys/provider.ts';
import { publicKeyToAddress } from '../keys/signature.ts';
import type { Secret } from '../secret.ts';
import { createProviderContext, openKeyForCommand } from '../compose/key.ts';
import { createLogger } from '../telemetry/logger.ts';
import { type Row, printRows } from './print-rows.ts';

type Options = { config: string };

const logger = createLogger('warn');
const exitFailure = 1;

/** `keys new`: creates the key; fails where there is one already. */
export async function newKey(options: Options): Promise<void> {
  const config = await loadConfig(options.config);
  const entry = requireSingleKey(config, options);
  const { plugin, section } = entry;
  if (!plugin.generateKey) {
    throw new ConfigError('CONFIG_INVALID', `key provider ${plugin.name} can't make keys`);
  }
  const { keyRef, publicKey } = await plugin.generateKey(
    section,
    createProviderContext(config, entry, logger),
  );
  process.stdout.write(`made ${keyRef}\naddress ${checksum(publicKeyToAddress(publicKey))}\n`);
}

type ImportOptions = Options & {
  keystore?: string;
  keystorePassword?: string;
  privateKeyFile?: string;
};

const privateKeyPattern = /^(0x)?[0-9a-f]{64}$/i;

/** `keys import`: imports a key from a file; fails where there is one already. */
export async function importKey(options: ImportOptions, command: Command): Promise<void> {
  const { keystore, keystorePassword, privateKeyFile } = options;
  if ((keystore === undefined) === (privateKeyFile === undefined)) {
    command.error('error: give either --keystore or --private-key-file');
  }
  if (privateKeyFile !== undefined && privateKeyPattern.test(privateKeyFile)) {
    throw new ConfigError(
      'CONFIG_INVALID',
      '--private-key-file: expected the path of a file, and this is a private key, which your shell may have kept in its history: ' +
        'move the funds of its address to a new key',
    );
  }
  const config = await loadConfig(options.config);
  const entry = requireSingleKey(config, options);
  const { plugin, section } = entry;
  if (!plugin.importKey) {
    throw new ConfigError('CONFIG_INVALID', `key provider ${plugin.name} can't import keys`);
  }
  const context = createProviderContext(config, entry, logger);
  const path = resolve(keystore ?? privateKeyFile ?? '');
  const read = (setting: string, reference: string): Secret =>
    readSecret(reference, { setting, resolvePath: resolve, createMissingFiles: false });
  const key: KeyToImport =
    keystore === undefined
      ? { kind: 'private-key', path, privateKey: read('--private-key-file', `file:${path}`) }
      : {
          kind: 'keystore',
          path,
          password:
            keystorePassword === undefined
              ? undefined
              : read('--keystore-password', keystorePassword),
        };
  const { keyRef, publicKey } = await plugin.importKey(section, key, context);
  process.stdout.write(`imported ${keyRef}\naddress ${checksum(publicKeyToAddress(publicKey))}\n`);
}

/** The single provider that a new or imported key goes to: replicas copy the key by their own means. */
function requireSingleKey({ keys }: Config, options: Options): KeyConfig {
  const [key, ...others] = keys;
  if (others.length === 0) return key;
  throw new ConfigError(
    'CONFIG_INVALID',
    `${options.config} names several providers; use a configuration that names the one to put the key into`,
  );
}

/**
 * `keys show`: prints the address of each provider's key, after the key has signed a self-test for it: money sent to an address
 * whose key is another one is lost. Creates no key.
 */
export async function showKey(options: Options): Promise<void> {
  const config = await loadConfig(options.config);
  for (const key of config.keys) {
    const only = { ...config, keys: [{ ...key, generateIfMissing: false }] } as const;
    const { provider, gate, close } = await openKeyForCommand(only, logger);
    await close();
    process.stdout.write(`key     ${provider.keyRef}\naddress ${checksum(gate.address)}\n`);
  }
}

/**
 * `keys check`: opens each configured provider as `serve` does, runs the part of the conformance suite that is safe for a key in
 * service, and prints the results. It signs nothing but self-tests. The exit status is 1 when a check has failed.
 */
export async function checkKeys(options: Options): Promise<void> {
  const config = await loadConfig(options.config);
  for (const key of config.keys) await checkKey({ ...config, keys: [key] });
}

async function checkKey(config: Config): Promise<void> {
  const startedAt = performance.now();
  const { provider, policy, gate, close } = await openKeyForCommand(config, logger);
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
      ['provider', config.keys[0].plugin.name],
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
    await close();
  }
}

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
