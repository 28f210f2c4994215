import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { configSchema } from '../../../src/config/schema.ts';
import { Cli, Folder, root, run } from '../../cli/cli.ts';
import { payableRequest } from '../../cli/payable-request.ts';
import { createSandboxCertificate } from '../../sandbox-orchestrator/server.ts';
import { chartFolder, digestOfChart, examples, renderedFolder } from './chart-files.ts';
import { kindOf, readManifests } from './manifests.ts';

it('is the chart that rendered/ was made of', () => {
  expect(digestOfChart(), 'npm run test:long -- test/deploy/chart -u renders it anew').toBe(
    readFileSync(join(renderedFolder, 'chart.sha256'), 'utf8').trim(),
  );
});

it('has the version of the program', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  const chart = parse(readFileSync(join(chartFolder, 'Chart.yaml'), 'utf8')) as Record<
    string,
    string
  >;
  expect(chart).toMatchObject({ version, appVersion: version });
});

const host = new Folder();
let certificate: { readonly private: string; readonly cert: string };

beforeAll(async () => {
  certificate = await createSandboxCertificate('signer');
});

afterAll(() => host[Symbol.dispose]());

/** What a Secret of the name that examples/ give it has, by its key. */
const secretFiles: Readonly<Record<string, () => string>> = {
  '/run/secrets/livepeer-hsm-signer/admin/token': () => 'a-token-of-a-test-and-long-enough',
  '/run/secrets/redis/url': () => 'rediss://user:password@redis.example:6379',
  '/run/secrets/api-keys/api-keys.yaml': () => '[]\n',
  '/run/secrets/hsm/pin': () => '1234',
  '/run/secrets/webhook/authorization': () => 'Bearer token',
  '/run/secrets/kafka/password': () => 'password',
  '/run/secrets/kafka/ca.crt': () => certificate.cert,
  '/run/secrets/tls/tls.crt': () => certificate.cert,
  '/run/secrets/tls/tls.key': () => certificate.private,
  '/run/secrets/admin-tls/tls.crt': () => certificate.cert,
  '/run/secrets/admin-tls/tls.key': () => certificate.private,
  '/run/secrets/admin-tls/ca.crt': () => certificate.cert,
};

/** Puts what the instance of an example has at absolute paths into a folder, and tells where its configuration is. */
function layOut(example: string): { readonly config: string; readonly named: string[] } {
  const configMaps = kindOf(readManifests(example), 'ConfigMap');
  const [signer, policy] = configMaps.map(({ data }) => data);
  const yaml = signer?.['signer.yaml'] ?? '';
  const at = (path: string): string => join(host.path, example, path);
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), text, { mode: 0o600 });
  };
  const named = yaml.match(/\/(?:run|etc|opt|var)\/[\w./-]+/g) ?? [];
  for (const path of named) {
    const text = secretFiles[path];
    if (text) write(path, text());
    if (path.endsWith('/policy.yaml')) write(path, policy?.['policy.yaml'] ?? '');
    if (path.endsWith('.so')) {
      write(path, '');
      copyFileSync('/usr/lib/softhsm/libsofthsm2.so', at(path));
    }
  }
  write(
    '/etc/livepeer-hsm-signer/signer.yaml',
    yaml.replace(/\/(?:run|etc|opt|var)\/(?=[\w./-])/g, (start) => at(start)),
  );
  return { config: at('/etc/livepeer-hsm-signer/signer.yaml'), named };
}

describe.each(examples)('examples/%s.yaml', (example) => {
  const manifests = readManifests(example);
  const [statefulSet] = kindOf(manifests, 'StatefulSet');
  if (!statefulSet) throw new Error('no StatefulSet');
  const { spec: pod, metadata } = statefulSet.spec.template;
  const [signer] = pod.containers;
  if (!signer) throw new Error('no container');
  const [configMap] = kindOf(manifests, 'ConfigMap');
  const config = configSchema.parse(parse(configMap?.data['signer.yaml'] ?? ''));

  it('gives a configuration that the program takes, with all that it names', async () => {
    const { status, stdout, stderr } = await run([
      'config',
      'check',
      '--config',
      layOut(example).config,
    ]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain(`is valid: key from ${config.keys[0]?.provider}`);
    expect(stdout).toContain('listening on 0.0.0.0:7936');
  });

  it('mounts whatever the configuration names, and lets it write to its own volume only', () => {
    const { named } = layOut(example);
    const mounts = signer.volumeMounts.map(({ mountPath }) => mountPath);
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((path) => !mounts.some((mount) => path.startsWith(`${mount}/`)))).toEqual(
      [],
    );
    const writable = signer.volumeMounts.filter(({ readOnly }) => readOnly !== true);
    expect(writable).toEqual([{ name: 'data', mountPath: '/var/lib/livepeer-hsm-signer' }]);
    const volumes = [
      ...pod.volumes,
      ...statefulSet.spec.volumeClaimTemplates.map((claim) => claim.metadata),
    ];
    const declared = volumes.map(({ name }) => name);
    expect(signer.volumeMounts.filter(({ name }) => !declared.includes(name))).toEqual([]);
    expect(config.audit?.path).toMatch(/^\/var\/lib\/livepeer-hsm-signer\//);
  });

  it('runs without root, capabilities or a writable root, and holds no Secret of its own', () => {
    expect(pod.securityContext).toMatchObject({
      runAsNonRoot: true,
      runAsUser: 10001,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(pod.automountServiceAccountToken).toBe(false);
    for (const { securityContext } of [...pod.initContainers, ...pod.containers]) {
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
    }
    expect(readFileSync(join(renderedFolder, `${example}.yaml`), 'utf8')).not.toContain(
      'kind: Secret',
    );
  });

  it('waits at a stop for as long as requests may take, and longer', () => {
    const { lameDuckMs, requestDeadlineMs } = config.server;
    const drainMs = pod.terminationGracePeriodSeconds * 1000 - lameDuckMs - requestDeadlineMs;
    expect(drainMs).toBeGreaterThanOrEqual(example === 'development' ? 5_000 : 30_000);
  });

  it('probes the payment listener by the scheme that it speaks', () => {
    const scheme = config.server.tls ? 'HTTPS' : 'HTTP';
    expect(signer.startupProbe.httpGet).toEqual({ path: '/healthz', port: 'payments', scheme });
    expect(signer.livenessProbe.httpGet).toEqual({ path: '/healthz', port: 'payments', scheme });
    expect(signer.readinessProbe.httpGet).toEqual({ path: '/readyz', port: 'payments', scheme });
  });

  it('restarts at a new configuration, and has a disruption budget where there is more than one', () => {
    expect(metadata.annotations['checksum/config']).toMatch(/^[0-9a-f]{64}$/);
    const { replicas } = statefulSet.spec;
    expect(kindOf(manifests, 'PodDisruptionBudget').length).toBe(replicas > 1 ? 1 : 0);
    if (replicas > 1) expect(config.store.kind).toBe('redis');
  });

  it('lets nobody in but who pays and, where it is scraped, who scrapes', () => {
    const [{ spec } = { spec: undefined }] = kindOf(manifests, 'NetworkPolicy');
    expect(spec?.policyTypes).toEqual(['Ingress', 'Egress']);
    const isScraped = kindOf(manifests, 'ServiceMonitor').length > 0;
    expect(spec?.ingress.map(({ ports }) => ports[0]?.port)).toEqual(
      isScraped ? ['payments', 'admin'] : ['payments'],
    );
    expect(spec?.ingress.every(({ from }) => from.length > 0)).toBe(true);
    const { listen, token, tls } = config.admin;
    expect(listen).toEqual({ host: isScraped ? '0.0.0.0' : '127.0.0.1', port: 7937 });
    expect(token !== undefined || tls?.clientCa !== undefined).toBe(isScraped);
  });
});

describe('an instance of examples/development.yaml', () => {
  it('answers its probes and pays', async () => {
    const { config } = layOut('development');
    const signer = new Cli(['serve', '--config', config, '--listen', '127.0.0.1:0'], {
      LIVEPEER_HSM_SIGNER__ADMIN__LISTEN: 'false',
    });
    try {
      const url = await signer.listening();
      expect((await fetch(`${url}/healthz`)).status).toBe(200);
      expect((await fetch(`${url}/readyz`)).status).toBe(200);
      const paid = await fetch(`${url}/generate-live-payment`, {
        method: 'POST',
        body: payableRequest(),
      });
      expect(paid.status).toBe(200);
    } finally {
      signer.child.kill('SIGTERM');
    }
    expect((await signer.ended()).status).toBe(0);
  });
});
