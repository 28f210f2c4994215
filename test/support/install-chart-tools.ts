// Run before the long tests: Helm, which is compiled here (four minutes of CPU, once), and the schemas of Kubernetes.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { installPython } from './install-python.ts';

const version = 'v3.17.3';
const folder = fileURLToPath(new URL('../deploy/chart/bin', import.meta.url));

if (!existsSync(`${folder}/helm`)) {
  console.error('compiling Helm into test/deploy/chart/bin');
  const source = `helm.sh/helm/v3/cmd/helm@${version}`;
  const { status } = spawnSync('go', ['install', source], {
    env: { ...process.env, GOBIN: folder },
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) {
    console.error(
      `could not compile it; with Go 1.23 or later, run GOBIN=${folder} go install ${source}`,
    );
    process.exitCode = 1;
  }
}
installPython('deploy/chart/python');
