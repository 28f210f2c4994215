import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { installKafka } from './install-kafka.ts';
import { installPackages } from './install-packages.ts';
import { installPython } from './install-python.ts';

/** What the tests need of the operating system, and the Debian package that brings it. */
const components = [
  { file: '/usr/lib/softhsm/libsofthsm2.so', package: 'softhsm2' },
  { file: '/usr/bin/softhsm2-util', package: 'softhsm2' },
  { file: '/usr/bin/p11-kit', package: 'p11-kit' },
  { file: '/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so', package: 'p11-kit-modules' },
  { file: '/usr/lib/x86_64-linux-gnu/pkcs11-spy.so', package: 'opensc-pkcs11' },
  { file: '/usr/bin/pkcs11-tool', package: 'opensc' },
  { file: '/usr/bin/cc', package: 'gcc libc6-dev' },
  { file: '/usr/bin/redis-server', package: 'redis-server' },
  { file: '/usr/bin/spin', package: 'spin' },
  { file: '/usr/bin/redis-sentinel', package: 'redis-sentinel' },
  { file: '/usr/bin/redis-cli', package: 'redis-tools' },
  { file: '/usr/bin/systemd-analyze', package: 'systemd' },
  { file: '/usr/bin/promtool', package: 'prometheus' },
  { file: '/usr/bin/chromium', package: 'chromium' },
  { file: '/usr/sbin/haproxy', package: 'haproxy' },
  { file: '/usr/bin/java', package: 'default-jre-headless' },
  { file: '/usr/bin/mvn', package: 'maven' },
  { file: '/usr/bin/python3', package: 'python3-venv' },
];

function run(command: string, ...args: string[]): boolean {
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { status } = spawnSync(command, args, { stdio: ['ignore', 2, 2], env: environment });
  return status === 0;
}

const missing = new Set(
  components
    .filter(({ file }) => !existsSync(file))
    .flatMap((component) => component.package.split(' ')),
);
if (missing.size > 0) {
  const packages = [...missing].join(' ');
  console.error(`installing what the tests need: ${packages}`);
  const isInstalled =
    existsSync('/usr/bin/apt-get') &&
    run('apt-get', 'update', '-qq') &&
    run('apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...missing);
  if (!isInstalled) {
    console.error(`could not install ${packages}; install them by hand, then run npm test again`);
    process.exitCode = 1;
  }
}

installPackages('contracts');
installPackages('tools');
installPackages('client/tools');
installPackages('sdks/web');
installPython('sdks/python');
installKafka();
