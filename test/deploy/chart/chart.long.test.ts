import { spawnSync } from 'node:child_process';
import { cpSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Folder } from '../../cli/cli.ts';
import { chartFolder, digestOfChart, examples, renderedFolder } from './chart-files.ts';

// Helm itself. What it renders is kept in rendered/, where chart.test.ts reads it: compiling Helm takes longer than all of npm
// test may. After a change of the chart: npm run test:long -- test/deploy/chart -u

const helmPath = join(import.meta.dirname, 'bin/helm');
/** Helm as it is compiled from source believes in Kubernetes 1.20. */
const cluster = ['--namespace', 'livepeer', '--kube-version', '1.37.0'];
const valuesOf = (example: string): string => join(chartFolder, 'examples', `${example}.yaml`);

function helm(...args: string[]): {
  readonly status: number | null;
  stdout: string;
  stderr: string;
} {
  return spawnSync(helmPath, args, { encoding: 'utf8' });
}

function render(...args: string[]): {
  readonly status: number | null;
  stdout: string;
  stderr: string;
} {
  return helm('template', 'signer', chartFolder, ...cluster, ...args);
}

describe.each(examples)('the chart with examples/%s.yaml', (example) => {
  it('passes helm lint', () => {
    const { status, stdout } = helm(
      'lint',
      '--strict',
      chartFolder,
      '--kube-version',
      '1.37.0',
      '--values',
      valuesOf(example),
    );
    expect(stdout).toContain('1 chart(s) linted, 0 chart(s) failed');
    expect(status).toBe(0);
  });

  it('renders manifests that Kubernetes 1.27 and 1.37 take', async () => {
    const { status, stdout, stderr } = render('--values', valuesOf(example));
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    using folder = new Folder();
    // a custom resource, whose form chart.test.ts holds
    const manifests = stdout
      .split(/^---\n/m)
      .filter((manifest) => !manifest.includes('kind: ServiceMonitor'));
    const file = folder.write('manifests.yaml', manifests.join('---\n'));
    const validator = join(import.meta.dirname, 'python/venv/bin/kubernetes-validate');
    for (const version of ['1.27', '1.37']) {
      const validated = spawnSync(validator, ['--strict', '-k', version, file], {
        encoding: 'utf8',
      });
      expect(validated.stdout.match(/passed/g)?.length, validated.stdout).toBe(
        manifests.length - 1,
      );
      expect(validated.status).toBe(0);
    }
    await expect(stdout).toMatchFileSnapshot(join(renderedFolder, `${example}.yaml`));
  });

  it('tells after the installation how the instances are reached', () => {
    // Helm shows NOTES.txt only after it has talked to a cluster
    using folder = new Folder();
    cpSync(chartFolder, folder.path, { recursive: true });
    renameSync(join(folder.path, 'templates/NOTES.txt'), join(folder.path, 'NOTES.txt'));
    folder.write(
      'templates/notes.yaml',
      'notes: |\n  {{- tpl (.Files.Get "NOTES.txt") . | nindent 2 }}\n',
    );
    const args = ['--values', valuesOf(example), '--show-only', 'templates/notes.yaml'];
    const { status, stdout, stderr } = helm('template', 'signer', folder.path, ...cluster, ...args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/https?:\/\/signer-livepeer-hsm-signer\.livepeer\.svc:7936/);
    expect(stdout).toContain('exec signer-livepeer-hsm-signer-0 --container signer -- node');
  });
});

it('is what was rendered', async () => {
  await expect(`${digestOfChart()}\n`).toMatchFileSnapshot(join(renderedFolder, 'chart.sha256'));
});

it('has a validator that refuses what Kubernetes would', () => {
  using folder = new Folder();
  const file = folder.write(
    'service.yaml',
    'apiVersion: v1\nkind: Service\nmetadata: { name: a }\nspec: { portz: [] }\n',
  );
  const validator = join(import.meta.dirname, 'python/venv/bin/kubernetes-validate');
  expect(spawnSync(validator, ['--strict', file]).status).not.toBe(0);
});

describe('the chart refuses', () => {
  it.each([
    ['no configuration', [], 'config is empty'],
    [
      'instances that share no limits',
      ['-f', valuesOf('pkcs11'), '--set', 'replicaCount=2'],
      'config.store.kind must be redis',
    ],
    [
      'instances that make a key each',
      ['-f', valuesOf('development'), '--set', 'replicaCount=2,config.store.kind=redis'],
      'generateIfMissing',
    ],
    [
      'a ServiceMonitor of a listener that is the pod’s own',
      ['-f', valuesOf('pkcs11'), '--set', 'serviceMonitor.enabled=true'],
      'serviceMonitor needs admin.token.secret',
    ],
    ['a value that there is not', ['-f', valuesOf('aws-kms'), '--set', 'replicas=2'], 'replicas'],
    [
      'settings that are the chart’s own',
      ['-f', valuesOf('aws-kms'), '--set', 'config.server.listen=127.0.0.1:1'],
      'config.server',
    ],
  ])('%s', (_, args, reason) => {
    const { status, stderr } = render(...args);
    expect(status).toBe(1);
    expect(stderr).toContain(reason);
  });
});
