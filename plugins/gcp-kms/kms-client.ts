import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeyManagementServiceClient } from '@google-cloud/kms';
import { isProxied, readOutboundProxy } from '../../src/keys/outbound-proxy.ts';
import { ProviderError } from '../../src/keys/provider.ts';
import { AccessTokens, type Gax } from './access-tokens.ts';
import { type Config, parseEndpoint, parseKeyVersion } from './config.ts';
import { vendorText } from '../../src/keys/vendor-text.ts';
import { translateCredentialsError } from './grpc-errors.ts';

type ClientPackage = typeof import('@google-cloud/kms');
type ClientOptions = NonNullable<ConstructorParameters<typeof KeyManagementServiceClient>[0]>;
/** A machine that just started may be ready before its metadata server is. */
const credentialsTimeoutMs = 15_000;
const credentialsPauseMs = 500;

/** What tokens are for, whatever `endpoint` a request goes to. */
const servicePath = 'cloudkms.googleapis.com';

const channelOptions = {
  /** The retry policy is this plugin's own. */
  'grpc.enable_retries': 0,
  /** A connection that died without a word is found by a ping; without one, every attempt would wait for its deadline on it. */
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
  /** calls fail at once while a reconnect is delayed, so the delay must be short */
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  /** a new client gets a connection of its own, not the one that was given up on */
  'grpc.use_local_subchannel_pool': 1,
  /** The proxy is this plugin's own as well. */
  'grpc.enable_http_proxy': 0,
};

export type Connection = {
  readonly client: KeyManagementServiceClient;
  /** A client with another connection and the same credentials. */
  renew(): KeyManagementServiceClient;
  /** Cloud KMS did not accept the access token: the next call has one of fresh credentials. */
  refuseToken(): void;
};

/**
 * Connects a client of Cloud KMS with Application Default Credentials (with none where `insecure` is set).
 *
 * @throws ProviderError `PROVIDER_MISSING` without the package `@google-cloud/kms`; `KEY_ACCESS_DENIED` without credentials;
 * `PROVIDER_UNAVAILABLE` when their source failed for 15 s.
 */
export async function connectClient(config: Config): Promise<Connection> {
  const { KeyManagementServiceClient } = await importClientPackage();
  const gax = requireGax();
  const options = clientOptions(config);
  if (config.insecure) {
    const create = () =>
      new KeyManagementServiceClient({ ...options, ...withoutTlsAndCredentials(gax) });
    return { client: create(), renew: create, refuseToken: () => undefined };
  }
  const { scopes } = KeyManagementServiceClient;
  const { project } = parseKeyVersion(config.keyVersion);
  const tokens = new AccessTokens(gax.googleAuthLibrary, { scopes, servicePath }, project);
  const auth = await findCredentials(tokens);
  const create = () => new KeyManagementServiceClient({ ...options, auth });
  return { client: create(), renew: create, refuseToken: () => tokens.refuse() };
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
  const { host, port } = parseEndpoint(endpoint ?? servicePath);
  const proxy = insecure ? undefined : proxyOptions(host, port);
  const target = endpoint === undefined ? {} : { apiEndpoint: host, port };
  return { ...channelOptions, ...(proxy ?? target) };
}

/**
 * gRPC itself reads only the lower-case variables, and matches hosts otherwise; so the target here is the proxy, and the tunnel's
 * end an option of the channel.
 */
function proxyOptions(host: string, port: number): ClientOptions | undefined {
  const proxy = readOutboundProxy(process.env);
  if (proxy === undefined) return undefined;
  const { url } = proxy;
  if (url.protocol !== 'http:') {
    throw new ProviderError(
      'PROVIDER_UNAVAILABLE',
      'the client of Cloud KMS speaks to HTTP proxies without TLS only: write http://HOST:PORT in HTTPS_PROXY',
    );
  }
  tellTokenLibrary(url, proxy.noProxy);
  if (!isProxied(proxy, host, port)) return undefined;
  const user = decodeURIComponent(`${url.username}:${url.password}`);
  const options = {
    apiEndpoint: url.hostname,
    port: Number(url.port || 80),
    'grpc.default_authority': `${host}:${port}`,
    'grpc.http_connect_target': `dns:${host}:${port}`,
    ...(user === ':' ? {} : { 'grpc.http_connect_creds': user }),
  };
  return options;
}

/** The library that fetches tokens has no setting for it, takes no `HOST:PORT`, and would look for the metadata server behind the proxy. */
function tellTokenLibrary(url: URL, noProxy: string): void {
  const { GCE_METADATA_HOST, GCE_METADATA_IP } = process.env;
  const own = [GCE_METADATA_HOST, GCE_METADATA_IP]
    .filter((address) => address !== undefined)
    .map((address) => address.replace(/^https?:\/\//, '').replace(/[:/].*$/, ''));
  const direct = ['169.254.169.254', 'metadata.google.internal', 'metadata.google.internal.'];
  process.env['HTTPS_PROXY'] = url.href;
  process.env['NO_PROXY'] = [...new Set([...noProxy.split(','), ...direct, ...own])]
    .filter((entry) => entry !== '')
    .join(',');
}

function requireGax(): Gax {
  const requireHere = createRequire(import.meta.url);
  const requireOfClient = createRequire(requireHere.resolve('@google-cloud/kms'));
  return requireOfClient('google-gax') as Gax;
}

/** With a client of its own the library neither looks for credentials nor asks the metadata server. */
function withoutTlsAndCredentials({ GoogleAuth, googleAuthLibrary, grpc }: Gax): ClientOptions {
  return {
    auth: new GoogleAuth({ authClient: new googleAuthLibrary.PassThroughClient() }),
    sslCreds: grpc.credentials.createInsecure(),
  };
}

/** Waits for a first token too, unless it is refused: then the first call tells why. */
async function findCredentials(tokens: AccessTokens): Promise<NonNullable<ClientOptions['auth']>> {
  const giveUpAtMs = performance.now() + credentialsTimeoutMs;
  let auth: NonNullable<ClientOptions['auth']> | undefined;
  for (;;) {
    try {
      auth ??= await tokens.toAuth();
      await tokens.headers(`https://${servicePath}/`);
      return auth;
    } catch (thrown) {
      const error = translateCredentialsError(thrown);
      if (error.retryable && performance.now() < giveUpAtMs) await sleep(credentialsPauseMs);
      else if (error.retryable || auth === undefined) throw error;
      else return auth;
    }
  }
}
