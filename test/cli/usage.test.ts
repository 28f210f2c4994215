import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root, run } from './cli.ts';

describe.concurrent('help', () => {
  it.each([
    { args: [], says: ['serve', 'keys', 'config', 'demo', 'Exit codes'] },
    { args: ['serve'], says: ['--config', '--listen', 'self-test', 'SIGTERM'] },
    { args: ['keys'], says: ['new', 'show', 'check'] },
    {
      args: ['keys', 'new'],
      says: ['--config', 'make a new secp256k1 key', 'nothing is replaced'],
    },
    { args: ['keys', 'import'], says: ['--keystore', '--private-key-file', 'nothing is replaced'] },
    { args: ['deposit'], says: ['status', 'fund', 'unlock', 'cancel-unlock', 'withdraw'] },
    { args: ['deposit', 'status'], says: ['--config', '--json', 'nothing is signed'] },
    {
      args: ['deposit', 'fund'],
      says: ['--deposit', '--reserve', '--dry-run', '--yes', '--max-fee', '--wait'],
    },
    { args: ['keys', 'show'], says: ['--config', 'address', 'proves with a signature'] },
    { args: ['keys', 'check'], says: ['--config', 'self-test', 'verify'] },
    { args: ['config'], says: ['check', 'schema'] },
    { args: ['config', 'check'], says: ['--config', 'environment overrides', 'without opening'] },
    { args: ['config', 'schema'], says: ['JSON Schema'] },
    { args: ['demo'], says: ['--config', 'sandbox orchestrator'] },
  ])('$args --help says what it does and takes', async ({ args, says }) => {
    const { status, stdout, stderr } = await run([...args, '--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const text = stdout.replace(/\s+/g, ' ');
    for (const word of says) expect(text).toContain(word);
  });

  it('prints the version of the package', async () => {
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(await run(['--version'])).toMatchObject({ status: 0, stdout: `${manifest.version}\n` });
  });
});

describe.concurrent('wrong usage ends with exit code 2 and says where help is', () => {
  it.each([
    { args: ['sevre'], says: "unknown command 'sevre'" },
    { args: ['keys', 'make'], says: "unknown command 'make'" },
    { args: ['serve', '--config', 'x', '--bogus'], says: "unknown option '--bogus'" },
    { args: ['serve', '--config', 'x', "--pin=12'34"], says: "unknown option '--pin'" },
    { args: ['config', 'check', '--config', 'x', 'y'], says: 'too many arguments' },
    { args: ['serve'], says: "required option '-c, --config <file>' not specified" },
    { args: ['keys', 'new'], says: "required option '-c, --config <file>' not specified" },
    {
      args: ['plan', '--provider', 'pkcs11', '--tickets', '1'],
      says: "required options '--sessions <number>', '--interval <time>' not specified",
    },
    { args: ['config', 'check', '--config'], says: 'argument missing' },
    { args: ['keys', 'status', '-c', 'x', '--url', '127.0.0.1:7937'], says: 'Expected an http' },
  ])('$args', async ({ args, says }) => {
    const { status, stdout, stderr } = await run(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(says);
    expect(stderr).toContain('--help');
  });

  it.each([
    { args: ['serv'], says: 'Did you mean serve?' },
    { args: ['serve', '--confg', 'x'], says: 'Did you mean --config?' },
    { args: ['serve', '-c', 'x', '--listn', 'y'], says: 'Did you mean --listen?' },
    { args: ['resume', '-c', 'x', '--reason', 'y'], says: undefined },
    { args: ['config', 'check', '-c', 'x', '--list'], says: undefined },
    { args: ['start'], says: undefined },
  ])('$args: a name is suggested where it is close: $says', async ({ args, says }) => {
    const { status, stderr } = await run(args);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^error: unknown (?:option|command) /);
    expect(/Did you mean .*\?/.exec(stderr)?.[0]).toBe(says);
  });

  it.each([{ args: [] }, { args: ['keys'] }, { args: ['config'] }])(
    'no command after livepeer-hsm-signer $args',
    async ({ args }) => {
      const { status, stderr } = await run(args);
      expect(status).toBe(2);
      expect(stderr).toContain('Commands:');
    },
  );
});
