import { vi } from 'vitest';
import { plugin } from '../../../plugins/aws-kms/index.ts';
import { type KeyProvider, type ProviderContext, Secret } from '../../../src/keys/provider.ts';
import type { AwsKmsWireServer } from '../../support/aws-kms-wire-server.ts';

/** What the plugin has logged since the start of the test file. */
export const logged: unknown[] = [];

/** What the program gives the plugin. */
export const context: ProviderContext = {
  resolvePath: (path) => path,
  readSecret: (reference) => new Secret(reference),
  log: (...line) => void logged.push(line),
};

/** The caller's signal where a test needs none. */
export const calm: { readonly signal: AbortSignal } = { signal: new AbortController().signal };

/** A digest that can be told from its own hash. */
export const digest: Uint8Array = Uint8Array.from(Buffer.alloc(32, 0xd1));

/** Has the SDK find these credentials and no others of this machine. */
export function useCredentials(credentials: Partial<AwsKmsWireServer['credentials']>): void {
  vi.stubEnv('AWS_ACCESS_KEY_ID', credentials.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', credentials.secretAccessKey);
  vi.stubEnv('AWS_SESSION_TOKEN', credentials.sessionToken);
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  vi.stubEnv('AWS_CONFIG_FILE', '/dev/null');
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/dev/null');
}

/** The plugin's section of the configuration, checked. */
export function configFor(
  server: { readonly endpoint: string },
  section: Readonly<Record<string, unknown>>,
) {
  return plugin.configSchema.parse({
    region: 'eu-central-1',
    endpoint: server.endpoint,
    ...section,
  });
}

/** Opens a key as the program does. */
export function open(
  server: { readonly endpoint: string },
  section: Readonly<Record<string, unknown>>,
): Promise<Required<KeyProvider>> {
  return plugin.open(configFor(server, section), context) as Promise<Required<KeyProvider>>;
}
