#!/usr/bin/env node
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire, findPackageJSON } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError } from 'commander';
import { errorFamilies, isSignerError } from '../errors.ts';
import { checkConfig } from './check-config.ts';
import { printConfigSchema } from './config-schema.ts';
import { checkKey, newKey, showKey } from './keys.ts';
import { serve } from './serve.ts';

const exitFailure = 1;
const exitUsage = 2;

const program = new Command('livepeer-signer')
  .description('Remote signer for Livepeer gateways whose Ethereum key lives in a KMS or an HSM.')
  .version(readVersion(), '-V, --version', 'print the version')
  .helpOption('-h, --help', 'print this help')
  .addHelpText(
    'after',
    `\nExit codes: 0 done, ${exitFailure} failed, ${exitUsage} wrong usage or configuration.`,
  )
  .exitOverride()
  .showHelpAfterError('(run with --help for the options)');

const configOption = ['-c, --config <file>', 'configuration file (YAML)'] as const;

program
  .command('serve')
  .description(
    'Open the configured key, have it sign a self-test, and serve the remote-signer protocol until SIGINT or SIGTERM; ' +
      'requests under way are then answered first.',
  )
  .summary('serve the remote-signer protocol')
  .requiredOption(...configOption)
  .option('-l, --listen <host:port>', 'listen here instead of on the configured address')
  .action(serve);

const keys = program.command('keys').description('make, show and check the configured key');
keys
  .command('new')
  .description('make a new secp256k1 key where the configuration points to; nothing is replaced')
  .requiredOption(...configOption)
  .action(newKey);
keys
  .command('show')
  .description('print the address of the configured key; nothing is signed')
  .requiredOption(...configOption)
  .action(showKey);
keys
  .command('check')
  .description('open the configured key, have it sign a self-test and verify the signature')
  .requiredOption(...configOption)
  .action(checkKey);

const config = program.command('config').description('check configuration files');
config
  .command('check')
  .description(
    'check a configuration file and the environment overrides as a whole, without opening the key',
  )
  .requiredOption(...configOption)
  .action(checkConfig);
config
  .command('schema')
  .description('print the JSON Schema of configuration files, for editors')
  .action(printConfigSchema);

program
  .command('demo')
  .description('pay a sandbox orchestrator through a signer started for it (source checkout only)')
  .option('-c, --config <file>', 'configuration file of the signer, config/dev.yaml if not given')
  .action(runDemo);

async function runDemo(options: { config?: string }): Promise<void> {
  const demo = fileURLToPath(new URL('../../test/demo/demo.ts', import.meta.url));
  if (!existsSync(demo)) {
    program.error(
      'the demo is part of the source checkout: clone the repository, then npm run demo',
    );
  }
  const args = options.config === undefined ? [] : ['--config', resolve(options.config)];
  const child = spawn(process.execPath, [demo, ...args], { stdio: 'inherit' });
  process.exitCode = await new Promise<number>((settle) => {
    child.once('exit', (code) => settle(code ?? exitFailure));
  });
}

function readVersion(): string {
  const manifest = findPackageJSON(import.meta.url);
  if (manifest === undefined) throw new Error('package.json is missing: install the program again');
  return (createRequire(import.meta.url)(manifest) as { version: string }).version;
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : exitUsage;
  } else if (isSignerError(error)) {
    const { code, message, details } = error;
    process.stderr.write(`livepeer-signer: ${message} [${code}]\n`);
    if (details !== undefined) process.stderr.write(`  ${details}\n`);
    process.exitCode = errorFamilies[code] === 'config' ? exitUsage : exitFailure;
  } else {
    throw error;
  }
}
