import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError, Option } from 'commander';
import { closestName } from '../closest-name.ts';
import { errorFamilies, isSignerError } from '../errors.ts';
import { framesOf, nameOf } from '../foreign-error.ts';
import { programVersion } from '../program-version.ts';
import {
  parseCount,
  parseExpiry,
  parseHash,
  parseInterval,
  parseLines,
  parsePosition,
  parsePositive,
  parseSeconds,
  parseTickets,
  parseTime,
  parseUrl,
  parseWei,
  recordKinds,
  reportKeys,
} from './arguments.ts';
import { plan, plannedProviders } from './plan.ts';
import { onStopSignal } from './stop-signals.ts';

const exitFailure = 1;
const exitUsage = 2;

const program = new Command('livepeer-hsm-signer')
  .description('Remote signer for Livepeer gateways whose Ethereum key lives in a KMS or an HSM.')
  .version(programVersion(), '-V, --version', 'print the version')
  .helpOption('-h, --help', 'print this help')
  .addHelpText(
    'after',
    `\nExit codes: 0 done, ${exitFailure} failed, ${exitUsage} wrong usage or configuration.`,
  )
  .exitOverride()
  .configureOutput({
    outputError: (text, write) => write(withoutFarSuggestion(withoutValue(text))),
  })
  .showHelpAfterError('(run with --help for the options)');

/** A command whose code is loaded when it is called: help and mistakes are told without waiting for all of the program. */
function later<Args extends unknown[]>(
  load: () => Promise<(...args: Args) => void | Promise<void>>,
): (...args: Args) => Promise<void> {
  return async (...args) => (await load())(...args);
}

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
  .action(later(async () => (await import('./serve.ts')).serve));

program
  .command('pause')
  .description(
    'Stop all that the key signs but its self-tests, for payments that begin from now on, until resume; also over a restart. ' +
      'It is recorded in the audit log.',
  )
  .summary('stop all signing')
  .requiredOption(...configOption)
  .option('--reason <text>', 'why, for the audit log and the readiness report', '')
  .action(later(async () => (await import('./signing.ts')).pauseSigning));
program
  .command('resume')
  .description('let the key sign again after pause')
  .requiredOption(...configOption)
  .action(later(async () => (await import('./signing.ts')).resumeSigning));

const keys = program.command('keys').description('make, show and check the configured key');
keys
  .command('new')
  .description('make a new secp256k1 key where the configuration points to; nothing is replaced')
  .requiredOption(...configOption)
  .action(later(async () => (await import('./keys.ts')).newKey));
keys
  .command('import')
  .description(
    'copy a key from a file to where the configuration points to, encrypted with the configured password; nothing is ' +
      'replaced (local-keystore)',
  )
  .summary('copy a key from a file')
  .requiredOption(...configOption)
  .option(
    '--keystore <file>',
    'a Web3 Secret Storage file (version 3), as geth and go-livepeer write it',
  )
  .option(
    '--keystore-password <reference>',
    'its password, env:NAME or file:PATH, if not the configured one',
  )
  .option('--private-key-file <file>', 'a file with the private key in hex')
  .action(later(async () => (await import('./keys.ts')).importKey));
keys
  .command('show')
  .description(
    'print the address of each configured key that proves with a signature to be its own',
  )
  .requiredOption(...configOption)
  .action(later(async () => (await import('./keys.ts')).showKey));
keys
  .command('check')
  .description('open the configured key, have it sign a self-test and verify the signature')
  .requiredOption(...configOption)
  .action(later(async () => (await import('./keys.ts')).checkKeys));

keys
  .command('status')
  .description(
    'ask the running signer what each of its keys is used for; says when a retiring one may go',
  )
  .requiredOption(...configOption)
  .option('--url <url>', 'ask this admin listener instead of the configured one', parseUrl)
  .action(later(async () => (await import('./keys-status.ts')).showKeyStatus));

const keyPositionOption = [
  '--key <position>',
  'position in `keys` of the key meant, 0 for the first; without it the active one',
] as const;
const deposit = program
  .command('deposit')
  .description("fund, watch and withdraw the key's deposit and reserve at the TicketBroker");
deposit
  .command('status')
  .description('print deposit, reserve and balance of the configured key; nothing is signed')
  .requiredOption(...configOption)
  .option(...keyPositionOption, parsePosition)
  .option('--json', 'as JSON, amounts in wei')
  .action(later(async () => (await import('./deposit.ts')).showDeposit));

function sendingCommand(name: string, description: string): Command {
  return deposit
    .command(name)
    .description(description)
    .requiredOption(...configOption)
    .option(...keyPositionOption, parsePosition)
    .option('--dry-run', 'show the transaction and send nothing')
    .option('-y, --yes', 'send without asking')
    .addOption(
      new Option('--max-fee <amount>', 'the most that gas may cost')
        .argParser(parseWei)
        .default(10n ** 16n, '0.01ether'),
    )
    .option('--wait <seconds>', 'how long to wait for a block that has it', parseSeconds, 120);
}

sendingCommand('fund', 'add to the deposit, the reserve, or both; a running unlock is cancelled')
  .option('--deposit <amount>', 'what tickets are paid from, e.g. 0.5ether', parseWei)
  .option('--reserve <amount>', 'what stands in for an empty deposit, e.g. 0.5ether', parseWei)
  .action(later(async () => (await import('./deposit.ts')).fundDeposit));
sendingCommand(
  'unlock',
  'begin to unlock deposit and reserve, so that they can be withdrawn later',
).action(later(async () => (await import('./deposit.ts')).callWithoutAmount('unlock')));
sendingCommand('cancel-unlock', 'lock deposit and reserve again').action(
  later(async () => (await import('./deposit.ts')).callWithoutAmount('cancelUnlock')),
);
sendingCommand(
  'withdraw',
  'withdraw unlocked deposit and reserve to the address of the key',
).action(later(async () => (await import('./deposit.ts')).callWithoutAmount('withdraw')));

const auth = program.command('auth').description('make credentials for callers');
auth
  .command('new-key')
  .description(
    'Make an API key: prints it, and the entry with its hash for the file that auth.apiKeys.file names. Nothing is kept.',
  )
  .summary('make an API key')
  .requiredOption('--principal <id>', 'who asks with it')
  .option('--tenant <id>', 'whom the principal acts for')
  .option(
    '--expires <time>',
    'when it ends, e.g. 2027-01-31T00:00:00Z; never when left out',
    parseExpiry,
  )
  .action(later(async () => (await import('./auth.ts')).newAuthKey));

const ledger = program
  .command('ledger')
  .description('move the spend ledger from one store to another');
ledger
  .command('export')
  .description(
    'Print what windows and sessions have spent, a line of JSON each. Stop the signer before: what it signs later is not in it.',
  )
  .summary('print what windows and sessions have spent')
  .requiredOption(...configOption)
  .action(later(async () => (await import('./ledger.ts')).exportSpending));
ledger
  .command('import')
  .description(
    'Bring an export into the configured ledger. It must be empty, or have nothing but what the export has: an import that was ' +
      'broken off can be made again. Nothing is written otherwise.',
  )
  .summary('bring an export into an empty ledger')
  .argument('<file>', 'what `ledger export` printed; - for standard input')
  .requiredOption(...configOption)
  .action(later(async () => (await import('./ledger.ts')).importSpending));

const audit = program.command('audit').description('verify and read the audit log');
const auditFolder = ['<folder>', 'the folder of audit.path, or of one chain in it'] as const;
audit
  .command('verify')
  .description(
    'Check every record: its hash, its number, and that it carries the hash of the record before, over all files. ' +
      'Prints where each chain begins and ends.',
  )
  .summary('check that no record was changed, removed or put in')
  .argument(...auditFolder)
  .option('--includes <hash>', 'also check that the record with this hash is there', parseHash)
  .action(later(async () => (await import('./audit.ts')).verifyAudit));
audit
  .command('tail')
  .description('print the last records, for people; they are not verified')
  .argument(...auditFolder)
  .option('-n, --lines <number>', 'how many', parseLines, 10)
  .option('-f, --follow', 'go on with those that come, until stopped')
  .option('--tenant <id>', 'those of this tenant alone')
  .option('--principal <id>', 'those of this principal alone')
  .option('--session <id>', 'those of this session alone')
  .addOption(new Option('--kind <kind>', 'those of this kind alone').choices(recordKinds))
  .option('--code <code>', 'denials and failures with this code alone')
  .option('--since <time>', 'those of this time and later, e.g. 2026-11-20T16:00:00Z', parseTime)
  .action(later(async () => (await import('./audit-tail.ts')).tailAudit));
audit
  .command('show')
  .description(
    'Tell one payment or denial as a story: who asked for what, what it would have cost, which rule refused it and what was left, what ' +
      'the key signed, and what its session did before.',
  )
  .summary('tell what became of a request')
  .argument('<request>', "the answer's X-Request-Id")
  .argument('[folder]', auditFolder[1])
  .option(...configOption)
  .option('--json', 'as JSON')
  .action(later(async () => (await import('./audit-show.ts')).showRequest));
audit
  .command('report')
  .description('add up what was paid and denied; the records are verified on the way')
  .argument(...auditFolder)
  .addOption(new Option('--by <name>', 'whose sums').choices(reportKeys).default('tenant' as const))
  .option('--from <time>', 'from this time on, e.g. 2026-11-01', parseTime)
  .option('--to <time>', 'before this time', parseTime)
  .addOption(
    new Option('--format <format>', 'for people, a spreadsheet or a program')
      .choices(['table', 'csv', 'json'])
      .default('table'),
  )
  .action(later(async () => (await import('./audit-report.ts')).reportAudit));
audit
  .command('export')
  .description('print verified records, chain by chain')
  .argument(...auditFolder)
  .option('--from <time>', 'those of this time and later, e.g. 2026-11-20T16:00:00Z', parseTime)
  .option('--to <time>', 'those before this time', parseTime)
  .addOption(
    new Option('--format <format>', 'records as they are, or rows with a header')
      .choices(['jsonl', 'csv'])
      .default('jsonl'),
  )
  .action(later(async () => (await import('./audit.ts')).exportAudit));

const config = program.command('config').description('check configuration files');
config
  .command('check')
  .description(
    'check a configuration file and the environment overrides as a whole, with all files, secrets and URLs that it names, without opening the key',
  )
  .requiredOption(...configOption)
  .action(later(async () => (await import('./check-config.ts')).checkConfig));
config
  .command('schema')
  .description('print the JSON Schema of configuration files, for editors')
  .action(later(async () => (await import('./config-schema.ts')).printConfigSchema));

const policy = program
  .command('policy')
  .description('check, test and explain the policy file: who may pay whom, and how much');
policy
  .command('check')
  .description(
    'Check a policy file as a whole, or the one that a configuration names, with what it needs of the configuration. Rules ' +
      'that are valid and have no effect are warned of.',
  )
  .summary('check a policy file')
  .argument('[file]', 'policy file (YAML)')
  .option(...configOption)
  .action(later(async () => (await import('./policy.ts')).checkPolicy));
policy
  .command('test')
  .description(
    'judge the payments of a file of cases; exit code 1 when a verdict is not the expected one',
  )
  .argument('<file>', 'file of cases (YAML)')
  .action(later(async () => (await import('./policy.ts')).testPolicy));
policy
  .command('explain')
  .description(
    'Tell which rules of the configured policy file match a payment and which conditions of the others do not hold, the ' +
      'verdict, and what is left in the windows that it counts in. Nothing is signed or spent.',
  )
  .summary('tell what the rules make of a payment')
  .argument('[payment]', 'the payment (JSON)')
  .requiredOption(...configOption)
  .option(
    '--request <id>',
    'instead of a file: the payment of the audit log whose answer had this X-Request-Id',
  )
  .option('--policy <file>', 'judge by this policy file, and not by the one in force')
  .action(later(async () => (await import('./policy.ts')).explainPolicy));
policy
  .command('schema')
  .description('print the JSON Schema of policy files, for editors')
  .action(later(async () => (await import('./policy.ts')).printPolicySchema));

program
  .command('plan')
  .description(
    'Work out what running sessions need: key calls and their price, the quota, and machines; and the same for the design ' +
      'of go-livepeer, which has the key sign two times more a payment.',
  )
  .summary('work out key calls, their price and machines for a load')
  .requiredOption('--sessions <number>', 'sessions that run at the same time', parseCount)
  .requiredOption('--interval <time>', 'between two payments of a session, e.g. 10s', parseInterval)
  .requiredOption('--tickets <number>', 'tickets of a payment, on average, e.g. 1.5', parseTickets)
  .addOption(
    new Option('--provider <name>', 'where the key is')
      .choices(plannedProviders)
      .makeOptionMandatory(),
  )
  .option('--quota <number>', "key calls a second, if not the provider's default quota", parseCount)
  .option(
    '--rate <number>',
    'payments a second that one worker makes; measured, in about ten seconds, when left out',
    parsePositive,
  )
  .action(plan);

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
  // it says itself that it was stopped
  onStopSignal((signal) => child.kill(signal));
  process.exitCode = await new Promise<number>((settle) => {
    child.once('exit', (code) => settle(code ?? exitFailure));
  });
}

/** Tells of all options that a command lacks, and of one that it does not know before: it may be one of them, misspelt. */
function requireOptionsLast(command: Command): void {
  command.commands.forEach(requireOptionsLast);
  const required = command.options.filter(({ mandatory }) => mandatory);
  if (required.length === 0) return;
  for (const option of required) option.mandatory = false;
  command.hook('preAction', () => {
    const missing = required.filter(
      (option) => command.getOptionValue(option.attributeName()) === undefined,
    );
    if (missing.length === 0) return;
    const names = missing.map(({ flags }) => `'${flags}'`).join(', ');
    command.error(`error: required option${missing.length > 1 ? 's' : ''} ${names} not specified`);
  });
}
requireOptionsLast(program);

/** What is given to an option that there is not may be a secret, such as the PIN of `--pin=1234`. */
function withoutValue(text: string): string {
  return text.replace(/(unknown option '[^'=]*)=[^]*?'(?=\n|$)/, "$1'");
}

/** commander suggests names that have little in common with what was written; it tells of them in this form only. */
function withoutFarSuggestion(text: string): string {
  const [suggestion, unknown = '', names = ''] =
    /unknown (?:option|command) '(.*)'\n\(Did you mean (?:one of )?(.*)\?\)/.exec(text) ?? [];
  if (suggestion === undefined || closestName(unknown, names.split(', ')) !== undefined)
    return text;
  return text.replace(/\n\(Did you mean .*\)/, '');
}

/** An error that nobody expected: what it says may quote a secret, so only its kind and its place are told. */
function reportDefect(error: unknown): void {
  process.stderr.write(
    `livepeer-hsm-signer: a defect of this program: ${nameOf(error)} [INTERNAL]\n${framesOf(error) ?? ''}\n`,
  );
  process.exitCode = exitFailure;
}

process.on('uncaughtException', (error) => {
  reportDefect(error);
  process.exit();
});

/** Whoever reads the output may stop at any line, as `head` does; the program then goes on quietly to its end. */
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : exitUsage;
  } else if (isSignerError(error)) {
    const { code, message, details } = error;
    process.stderr.write(`livepeer-hsm-signer: ${message} [${code}]\n`);
    if (details !== undefined) process.stderr.write(`  ${details}\n`);
    process.exitCode = errorFamilies[code] === 'config' ? exitUsage : exitFailure;
  } else {
    reportDefect(error);
  }
}
