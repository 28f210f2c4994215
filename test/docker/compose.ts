import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { root } from '../cli/cli.ts';

const healthcheck = z.strictObject({
  test: z.array(z.string()),
  interval: z.string(),
  timeout: z.string(),
  retries: z.int(),
});

/** Only what our file uses, each with the form that the Compose Specification gives it. */
const service = z.strictObject({
  profiles: z.array(z.string()).length(1),
  image: z.string().optional(),
  command: z.array(z.string()).optional(),
  secrets: z.array(z.string()).default([]),
  build: z
    .strictObject({
      context: z.literal('.'),
      dockerfile: z.string().default('Dockerfile'),
      args: z.record(z.string(), z.string()).default({}),
    })
    .optional(),
  depends_on: z
    .union([
      z.array(z.string()),
      z.record(
        z.string(),
        z.strictObject({
          condition: z.enum(['service_healthy', 'service_completed_successfully']),
        }),
      ),
    ])
    .optional(),
  environment: z.record(z.string(), z.string()).default({}),
  ports: z.array(z.string()).default([]),
  volumes: z.array(z.string().regex(/^[^:]+:\/[^:]+(?::ro)?$/)).default([]),
  network_mode: z.string().optional(),
  restart: z.enum(['unless-stopped', 'on-failure']),
  read_only: z.boolean().default(false),
  cap_drop: z.array(z.string()).default([]),
  security_opt: z.array(z.string()).default([]),
  healthcheck: healthcheck.optional(),
});

const compose = z.strictObject({
  name: z.string(),
  'x-signer': z.unknown(),
  'x-full-signer': z.unknown(),
  secrets: z.record(z.string(), z.strictObject({ environment: z.string() })),
  services: z.record(z.string(), service),
  volumes: z.record(z.string(), z.null()),
});

export type Service = z.infer<typeof service>;

/** docker-compose.yml, checked. */
export function readCompose(): z.infer<typeof compose> {
  const text = readFileSync(join(root, 'docker-compose.yml'), 'utf8');
  return compose.parse(parse(text, { merge: true }));
}

/** Where a service has what is mounted, by source. */
export function mountsOf({ volumes }: Service): Record<string, string> {
  return Object.fromEntries(
    volumes.map((volume) => {
      const [source = '', target = ''] = volume.split(':');
      return [source, target];
    }),
  );
}
