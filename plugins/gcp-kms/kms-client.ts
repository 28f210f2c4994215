import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeyManagementServiceClient } from '@google-cloud/kms';
import { ProviderError } from '../../src/keys/provider.ts';
import { type Config, parseEndpoint } from './config.ts';
import { vendorText } from './grpc-errors.ts';

type ClientPackage = typeof import('@google-cloud/kms');
type ClientOptions = NonNullable<ConstructorParameters<typeof KeyManagementServiceClient>[0]>;
/** google-gax with its gRPC transport; the client package has it as a dependency and takes it as an argument. */
type Gax = Extract<
  NonNullable<ConstructorParameters<typeof KeyManagementServiceClient>[1]>,
  { grpc: unknown }
>;

/** Finding credentials may mean asking the metadata server, which the library does for some seconds. */
const credentialsTimeoutMs = 15_000;

const channelOptions = {
  /** The retry policy is this plugin's own. */
  'grpc.enable_retries': 0,
  /** A connection that died without a word is found by a ping; without one, every attempt would wait for its deadline on it. */
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
  /** Calls fail at once while a reconnect is put off, so that must not be for long. */
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  /** A new client has a connection of its own, not the one that the client before it lost faith in. */
  'grpc.use_local_subchannel_pool': 1,
};

export type Connection = {
  readonly client: KeyManagementServiceClient;
  /** A client with another connection and the same credentials. */
  renew(): KeyManagementServiceClient;
};

/**
 * Connects a client of Cloud KMS with Application Default Credentials (with none where `insecure` is set).
 *
 * @throws ProviderError `PROVIDER_MISSING` without the package `@google-cloud/kms`; `KEY_ACCESS_DENIED` without credentials;
 * `PROVIDER_TIMEOUT` when it took too long to look for them.
 */
export async function connectClient(config: Config): Promise<Connection> {
  const { KeyManagementServiceClient } = await importClientPackage();
  const options = clientOptions(config);
  const client = new KeyManagementServiceClient(options);
  await findCredentials(client);
  return {
    client,
    renew: () => new KeyManagementServiceClient({ ...options, auth: client.auth }),
  };
}

async function importClientPackage(): Promise<ClientPackage> {
  try {
    return await import('@google-cloud/kms');
  } catch (error) {
    throw new ProviderError(
      'PROVIDER_MISSING',
      'the package @google-cloud/kms is not installed: run "npm install @google-cloud/kms@6" where the signer is installed, with -g if it is installed so',
      { details: vendorText(error) },
    );
  }
}

function clientOptions({ endpoint, insecure }: Config): ClientOptions {
  if (endpoint === undefined) return channelOptions;
  const { host, port } = parseEndpoint(endpoint);
  return {
    ...channelOptions,
    apiEndpoint: host,
    port,
    ...(insecure ? withoutTlsAndCredentials() : {}),
  };
}

/** With a client of its own the library neither looks for credentials nor asks the metadata server. */
function withoutTlsAndCredentials(): ClientOptions {
  const requireHere = createRequire(import.meta.url);
  const requireOfClient = createRequire(requireHere.resolve('@google-cloud/kms'));
  const { GoogleAuth, googleAuthLibrary, grpc } = requireOfClient('google-gax') as Gax;
  return {
    auth: new GoogleAuth({ authClient: new googleAuthLibrary.PassThroughClient() }),
    sslCreds: grpc.credentials.createInsecure(),
  };
}

/**
 * The client's methods initialize it by themselves, but leave the promise of it unhandled: missing credentials would end the
 * process.
 */
async function findCredentials(client: KeyManagementServiceClient): Promise<void> {
  const found = new AbortController();
  const timeout = sleep(credentialsTimeoutMs, undefined, { signal: found.signal }).then(() => {
    throw new ProviderError(
      'PROVIDER_TIMEOUT',
      `no Application Default Credentials were found in ${credentialsTimeoutMs} ms: is the metadata server reachable?`,
      { retryable: true },
    );
  });
  try {
    await Promise.race([client.initialize(), timeout]);
  } catch (error) {
    if (error instanceof ProviderError) throw error;
    throw new ProviderError(
      'KEY_ACCESS_DENIED',
      'no Application Default Credentials were found: run with a service account attached, or set ' +
        'GOOGLE_APPLICATION_CREDENTIALS to a credentials file',
      { details: vendorText(error) },
    );
  } finally {
    found.abort();
  }
}
