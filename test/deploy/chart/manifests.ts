import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { renderedFolder } from './chart-files.ts';

/** Of a Kubernetes object, what the tests look at; Kubernetes' own schemas have been asked by chart.long.test.ts. */
const container = z.looseObject({
  name: z.string(),
  image: z.string(),
  securityContext: z.looseObject({}),
  volumeMounts: z.array(z.looseObject({ name: z.string(), mountPath: z.string() })),
});

const probe = z.looseObject({
  httpGet: z.strictObject({ path: z.string(), port: z.string(), scheme: z.string() }),
});

const podSpec = z.looseObject({
  terminationGracePeriodSeconds: z.int(),
  automountServiceAccountToken: z.boolean(),
  securityContext: z.looseObject({}),
  initContainers: z.array(container).default([]),
  containers: z.array(
    container.extend({
      args: z.array(z.string()),
      startupProbe: probe,
      livenessProbe: probe,
      readinessProbe: probe,
    }),
  ),
  volumes: z.array(z.looseObject({ name: z.string() })),
});

const metadata = z.looseObject({ name: z.string() });

const manifest = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ConfigMap'), metadata, data: z.record(z.string(), z.string()) }),
  z.object({ kind: z.literal('ServiceAccount'), metadata }),
  z.object({
    kind: z.literal('Service'),
    metadata,
    spec: z.looseObject({ ports: z.array(z.looseObject({ port: z.int() })) }),
  }),
  z.object({
    kind: z.literal('StatefulSet'),
    metadata,
    spec: z.looseObject({
      replicas: z.int(),
      template: z.looseObject({
        metadata: z.looseObject({ annotations: z.record(z.string(), z.string()) }),
        spec: podSpec,
      }),
      volumeClaimTemplates: z.array(z.looseObject({ metadata })),
    }),
  }),
  z.object({ kind: z.literal('PodDisruptionBudget'), metadata }),
  z.object({
    kind: z.literal('NetworkPolicy'),
    metadata,
    spec: z.looseObject({
      policyTypes: z.array(z.string()),
      ingress: z.array(
        z.looseObject({
          from: z.array(z.unknown()),
          ports: z.array(z.looseObject({ port: z.string() })),
        }),
      ),
    }),
  }),
  // the part of Prometheus Operator's monitoring.coreos.com/v1 that the chart uses: whatever else is a mistake of its
  z.strictObject({
    apiVersion: z.literal('monitoring.coreos.com/v1'),
    kind: z.literal('ServiceMonitor'),
    metadata,
    spec: z.strictObject({
      jobLabel: z.string(),
      selector: z.strictObject({ matchLabels: z.record(z.string(), z.string()) }),
      endpoints: z.tuple([
        z.strictObject({
          port: z.string(),
          path: z.string(),
          interval: z.string(),
          scheme: z.enum(['http', 'https']).optional(),
          authorization: z
            .strictObject({
              type: z.literal('Bearer'),
              credentials: z.strictObject({ name: z.string(), key: z.string() }),
            })
            .optional(),
          tlsConfig: z
            .strictObject({
              serverName: z.string(),
              ca: z.strictObject({ secret: z.strictObject({ name: z.string(), key: z.string() }) }),
              cert: z.strictObject({
                secret: z.strictObject({ name: z.string(), key: z.string() }),
              }),
              keySecret: z.strictObject({ name: z.string(), key: z.string() }),
            })
            .optional(),
        }),
      ]),
    }),
  }),
]);

export type Manifest = z.infer<typeof manifest>;

/** What Helm made of the chart with one of its value files. Throws where a kind is none that the chart should make. */
export function readManifests(example: string): Manifest[] {
  const text = readFileSync(join(renderedFolder, `${example}.yaml`), 'utf8');
  return parseAllDocuments(text, { version: '1.1' }).map((document) =>
    manifest.parse(document.toJS()),
  );
}

export function kindOf<Kind extends Manifest['kind']>(
  manifests: readonly Manifest[],
  kind: Kind,
): Extract<Manifest, { kind: Kind }>[] {
  return manifests.filter(
    (found): found is Extract<Manifest, { kind: Kind }> => found.kind === kind,
  );
}
