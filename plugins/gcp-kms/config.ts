import { z } from 'zod';

const keyVersionPattern =
  /^(?<keyRing>projects\/(?<project>[a-z0-9.:-]+)\/locations\/[a-z0-9-]+\/keyRings\/[\w-]{1,63})\/cryptoKeys\/(?<keyId>[\w-]{1,63})\/cryptoKeyVersions\/(?<version>[1-9]\d*)$/;
const keyPattern = /^projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+\/cryptoKeys\/[^/]+$/;
const endpointPattern = /^(?<host>[a-zA-Z0-9.-]+|\[[0-9a-fA-F:]+\])(?::(?<port>\d{1,5}))?$/;
const loopbackPattern = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

const keyVersionSchema = z.string().superRefine((name, issues) => {
  if (keyVersionPattern.test(name)) return;
  issues.addIssue({
    code: 'custom',
    message: keyPattern.test(name)
      ? 'the version is missing: add /cryptoKeyVersions/N. Each version is another key pair, so another payer address; ' +
        'naming one pins the address'
      : 'expected projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N',
  });
});

/** The plugin's section of the configuration; `docs/providers/gcp-kms.md` describes each setting. */
export const configSchema = z
  .strictObject({
    /** Full resource name of one version of the key. */
    keyVersion: keyVersionSchema,
    /** `host` or `host:port` in place of the client's own, e.g. a regional endpoint. */
    endpoint: z
      .string()
      .regex(endpointPattern, 'expected host or host:port, without https:// and path')
      .refine((endpoint) => isPort(parseEndpoint(endpoint).port), 'expected a port, 1 to 65535')
      .optional(),
    /** No TLS and no credentials; for a test server on this machine. */
    insecure: z.boolean().default(false),
    /** Signing calls that may reach Cloud KMS in any one second, retries among them. */
    requestsPerSecond: z.int().min(1).max(100_000).default(50),
    /** Signing calls under way at once. */
    concurrency: z.int().min(1).max(1000).default(32),
    /** Signing calls that may wait for their turn. */
    maxQueued: z.int().min(0).max(10_000).default(200),
    /** Deadline of each attempt. */
    attemptTimeoutMs: z.int().min(50).max(60_000).default(1500),
    /** Attempts a call may take, the first one among them. */
    maxAttempts: z.int().min(1).max(10).default(3),
  })
  .refine(({ insecure, endpoint }) => !insecure || isLoopback(endpoint), {
    path: ['insecure'],
    error:
      'is for a test server on this machine: set endpoint to localhost, 127.0.0.1 or [::1] with a port, or leave insecure out',
  });

export type Config = z.infer<typeof configSchema>;

/** Host and port of the `endpoint` setting; the port is 443 unless it says another. */
export function parseEndpoint(endpoint: string): { readonly host: string; readonly port: number } {
  const { host = '', port = '443' } = endpointPattern.exec(endpoint)?.groups ?? {};
  return { host, port: Number(port) };
}

/** The parts of a key version's name that are needed to make the key. */
export function parseKeyVersion(keyVersion: string): {
  readonly project: string;
  readonly keyRing: string;
  readonly keyId: string;
  readonly version: string;
} {
  const {
    project = '',
    keyRing = '',
    keyId = '',
    version = '',
  } = keyVersionPattern.exec(keyVersion)?.groups ?? {};
  return { project, keyRing, keyId, version };
}

const isPort = (port: number): boolean => port > 0 && port <= 65_535;

function isLoopback(endpoint: string | undefined): boolean {
  return endpoint !== undefined && loopbackPattern.test(parseEndpoint(endpoint).host);
}
