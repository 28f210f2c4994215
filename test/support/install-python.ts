import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Installs the Python packages of a folder in test/ into a virtual environment in it, where they are missing or others than its
 * requirements.txt names. Says on standard error what it does, and sets the exit code when it could not.
 */
export function installPython(name: 'sdks/python' | 'deploy/chart/python'): void {
  const folder = fileURLToPath(new URL(`../${name}`, import.meta.url));
  const requirements = `${folder}/requirements.txt`;
  const installed = `${folder}/venv/requirements.txt`;
  const isSame = (): boolean =>
    readFileSync(installed, 'utf8') === readFileSync(requirements, 'utf8');
  if (existsSync(installed) && isSame()) return;
  console.error(`installing the Python packages of test/${name}`);
  // the SDK asks for Python 3.12, but runs with 3.11
  const install = ['install', '--quiet', '--disable-pip-version-check', '--ignore-requires-python'];
  const exact = ['--no-deps', '--only-binary', ':all:', '--requirement', requirements];
  const isInstalled =
    run('python3', '-m', 'venv', '--clear', `${folder}/venv`) &&
    run(`${folder}/venv/bin/pip`, ...install, ...exact);
  if (isInstalled) {
    copyFileSync(requirements, installed);
    return;
  }
  console.error('could not install them; they need Python 3.11 or later, with venv and pip');
  process.exitCode = 1;
}

function run(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: ['ignore', 2, 2] }).status === 0;
}
