import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { Folder, devConfig, root } from './cli.ts';

/** What `serve` shows until it listens, on a terminal of its own. */
async function showOnTerminal(environment: Record<string, string>): Promise<string> {
  using folder = new Folder();
  const config = folder.write('signer.yaml', devConfig);
  const command = [
    process.execPath,
    'src/cli/livepeer-hsm-signer.ts',
    'serve',
    '--config',
    config,
    '--listen',
    '127.0.0.1:0',
  ];
  const child = spawn(
    'script',
    ['--quiet', '--return', '--command', command.join(' '), '/dev/null'],
    {
      cwd: root,
      env: { ...process.env, LIVEPEER_HSM_SIGNER__ADMIN__LISTEN: '127.0.0.1:0', ...environment },
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  const ended = once(child, 'close');
  let shown = '';
  child.stdout.on('data', (chunk: Buffer) => {
    shown += chunk.toString();
    // as whoever sits there would end it
    if (shown.includes('is listening on')) child.stdin.end('\u0003');
  });
  await ended;
  return shown.replaceAll('\r\n', '\n');
}

it('shows log lines to whoever sits at a terminal, in colours', async () => {
  const shown = await showOnTerminal({ NO_COLOR: '' });
  expect(shown).toContain('\u001b[32minfo \u001b[0m listening ');
  expect(shown).not.toContain('{"level"');
});

it('shows them without colours where NO_COLOR is set', async () => {
  const shown = await showOnTerminal({ NO_COLOR: '1' });
  expect(shown).toMatch(/^\d\d:\d\d:\d\d\.\d{3} info {2}listening url=http:/m);
  expect(shown).not.toContain('\u001b');
});
