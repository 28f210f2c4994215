import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { configSchema } from '../../src/config/schema.ts';
import { Cli, Folder, devConfig, root, run } from '../cli/cli.ts';

const name = 'livepeer-hsm-signer.service';
const path = join(root, 'deploy/systemd', name);
const text = readFileSync(path, 'utf8');

/** All values of a setting, in the order of the file. */
function valuesOf(setting: string): string[] {
  return [...text.matchAll(new RegExp(`^${setting}=(.*)$`, 'gm'))].map(([, value = '']) => value);
}

const [command = ''] = valuesOf('ExecStart');
const [interpreter = '', heap = '', program = '', ...programArguments] = command.split(' ');

describe('the systemd unit', () => {
  it('is one that systemd loads without a complaint', () => {
    using folder = new Folder();
    // neither Node nor the package is where an operator has them
    const unit = folder.write(name, text.replace(interpreter, process.execPath));
    const output = execFileSync(
      'systemd-analyze',
      ['verify', '--man=no', '--recursive-errors=no', unit],
      { encoding: 'utf8', stdio: 'pipe' },
    );
    expect(output).toBe('');
    expect(() =>
      execFileSync(
        'systemd-analyze',
        [
          'verify',
          '--man=no',
          '--recursive-errors=no',
          folder.write('broken.service', '[Service]'),
        ],
        { stdio: 'pipe' },
      ),
    ).toThrow();
  });

  it('exposes less than 2.0 of 10, as systemd counts', () => {
    const output = execFileSync(
      'systemd-analyze',
      ['security', '--offline=true', '--no-pager', path],
      { encoding: 'utf8' },
    );
    const [, exposure] = /Overall exposure level for \S+: (\d+\.\d+)/.exec(output) ?? [];
    expect(Number(exposure)).toBeLessThan(2);
  });

  it('starts the program of the package by Node itself, with a command that it knows', async () => {
    const { name: packageName, bin } = JSON.parse(
      readFileSync(join(root, 'package.json'), 'utf8'),
    ) as { name: string; bin: Record<string, string> };
    expect([interpreter, heap]).toEqual(['/usr/bin/node', '--max-semi-space-size=16']);
    expect(program).toBe(
      `/opt/livepeer-hsm-signer/node_modules/${packageName}/${bin['livepeer-hsm-signer']}`,
    );
    const [verb = '', option = '', config] = programArguments;
    const { status, stdout } = await run([verb, '--help']);
    expect(status).toBe(0);
    expect(stdout).toContain(`${option} <`);
    expect(config).toBe('/etc/livepeer-hsm-signer/signer.yaml');
  });

  it('waits at a stop for as long as requests may take', () => {
    const { server } = configSchema.shape;
    const { lameDuckMs, requestDeadlineMs } = server.parse({});
    const [seconds] = valuesOf('TimeoutStopSec').map(Number);
    expect((seconds ?? 0) * 1000).toBeGreaterThan(lameDuckMs + requestDeadlineMs);
    expect(valuesOf('KillMode')).toEqual(['mixed']);
  });

  it('does not start a wrong configuration again', async () => {
    using folder = new Folder();
    const config = folder.write('signer.yaml', 'keys: []\n');
    const { status } = await run([...programArguments.slice(0, -1), config]);
    expect(valuesOf('RestartPreventExitStatus')).toEqual([String(status)]);
  });

  it('reloads by a signal that the program survives, and stops by one it ends well at', async () => {
    using folder = new Folder();
    const config = folder.write('signer.yaml', `${devConfig}server: { lameDuckMs: 0 }\n`);
    const cli = new Cli([...programArguments.slice(0, -1), config, '--listen', '127.0.0.1:0']);
    const url = await cli.listening();
    const [, signal = ''] = /kill -(\w+) \$MAINPID/.exec(valuesOf('ExecReload').join()) ?? [];
    cli.child.kill(`SIG${signal}` as NodeJS.Signals);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    cli.child.kill('SIGTERM');
    expect(await cli.ended()).toMatchObject({ status: 0, signal: null });
    expect(cli.stderr).toContain('watched files are read again');
  });

  it('lets it write where the ready configurations do', () => {
    const written = readdirSync(join(root, 'config'))
      .filter((file) => file.endsWith('.yaml'))
      .map((file) => parse(readFileSync(join(root, 'config', file), 'utf8')) as unknown)
      .flatMap((config) => (config as { audit?: { path: string } }).audit?.path ?? []);
    const state = valuesOf('StateDirectory').map((folder) => `/var/lib/${folder}/`);
    expect(written.length).toBeGreaterThan(1);
    expect(
      written.filter((path) => path.startsWith('/') && !path.startsWith(state.join())),
    ).toEqual([]);
  });
});
