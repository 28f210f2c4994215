import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Installs the npm packages of a folder in test/, where they are missing or older than its lock file. Says on standard error
 * what it does, and sets the exit code when it could not.
 */
export function installPackages(name: 'contracts' | 'tools' | 'client/tools' | 'sdks/web'): void {
  const folder = fileURLToPath(new URL(`../${name}`, import.meta.url));
  const installedAt = timeOf(`${folder}/node_modules/.package-lock.json`);
  if (installedAt >= timeOf(`${folder}/package-lock.json`)) return;
  console.error(`installing the packages of test/${name}`);
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund'];
  const { status } = spawnSync('npm', ['ci', '--prefix', folder, ...flags], {
    stdio: ['ignore', 2, 2],
  });
  if (status === 0) return;
  console.error(`could not install them; run npm ci --prefix ${folder}, then try again`);
  process.exitCode = 1;
}

function timeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? -1;
}
