import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { KMSClient } from '@aws-sdk/client-kms';
import { readOutboundProxy } from '../../src/keys/outbound-proxy.ts';
import { ProviderError } from '../../src/keys/provider.ts';
import { areCredentialsRefused, credentialsUnavailable } from './aws-error.ts';
import { type AwsKmsConfig, isEncryptedOrLocal } from './config.ts';

/** Longest time that finding or renewing credentials may take; the SDK itself knows no bound for most sources. */
export const credentialsTimeoutMs = 10_000;

/** After a refusal, credentials are looked for again, but at most once in this time. */
const shortestRenewalMs = 1000;

type AwsSdk = typeof import('@aws-sdk/client-kms');

/**
 * A client of KMS with connections that are kept, and with credentials that are looked for anew, by a fresh client, when
 * their source does not answer or KMS does not accept them.
 */
export class KmsConnection {
  readonly #sdk: AwsSdk;
  readonly #config: AwsKmsConfig;
  readonly #timeoutMs: number;
  readonly #agents: { readonly httpAgent: HttpAgent; readonly httpsAgent: HttpsAgent };
  #client: KMSClient;
  #renewedAtMs = -Infinity;
  #hadCredentials = false;

  /**
   * @throws ProviderError `PROVIDER_UNAVAILABLE` where the environment names a proxy or an endpoint that can't be used.
   * @param timeoutMs see {@link credentialsTimeoutMs}.
   */
  constructor(sdk: AwsSdk, config: AwsKmsConfig, timeoutMs = credentialsTimeoutMs) {
    checkEndpointVariables(process.env);
    this.#sdk = sdk;
    this.#config = config;
    this.#timeoutMs = timeoutMs;
    this.#agents = createAgents(config.concurrency + 1);
    this.#client = this.#createClient();
  }

  /** Makes a request once there are credentials for it. Rejects with what the SDK threw. */
  async send<Reply>(request: (client: KMSClient) => Promise<Reply>): Promise<Reply> {
    const client = this.#client;
    await this.#findCredentials(client);
    try {
      return await request(client);
    } catch (error) {
      if (areCredentialsRefused(error)) this.#replace(client);
      throw error;
    }
  }

  /** Ends the connections. May be called twice. */
  close(): void {
    this.#client.destroy();
    this.#agents.httpAgent.destroy();
    this.#agents.httpsAgent.destroy();
  }

  async #findCredentials(client: KMSClient): Promise<void> {
    const { promise: tooLate, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      reject(credentialsUnavailable(`none came within ${this.#timeoutMs} ms`));
    }, this.#timeoutMs);
    try {
      await Promise.race([client.config.credentials(), tooLate]);
      this.#hadCredentials = true;
    } catch (error) {
      this.#replace(client);
      throw this.#isSourceKnown() && isNoCredentials(error)
        ? credentialsUnavailable(error.message)
        : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Whether credentials must come from somewhere, so that none are an outage and not a gap in the configuration. */
  #isSourceKnown(): boolean {
    const variables = [
      'AWS_CONTAINER_CREDENTIALS_FULL_URI',
      'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI',
    ];
    return this.#hadCredentials || variables.some((name) => Boolean(process.env[name]));
  }

  /** A fetch that hangs would be waited for by every later request of the same client. */
  #replace(client: KMSClient): void {
    const nowMs = performance.now();
    if (client !== this.#client || nowMs - this.#renewedAtMs < shortestRenewalMs) return;
    this.#renewedAtMs = nowMs;
    this.#client = this.#createClient();
  }

  #createClient(): KMSClient {
    const { region, endpoint, fips } = this.#config;
    const client = new this.#sdk.KMSClient({
      region,
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(fips === undefined ? {} : { useFipsEndpoint: fips }),
      maxAttempts: 1,
      requestHandler: this.#agents,
    });
    client.middlewareStack.add(
      (next) => (args) => {
        const { protocol, hostname } = args.request as { protocol: string; hostname: string };
        checkEndpoint(`${protocol}//${hostname}`, 'endpoint_url of the AWS profile');
        return next(args);
      },
      { step: 'build', name: 'checkEndpoint' },
    );
    return client;
  }
}

/** The SDK's own proxy support is none; Node's covers HTTPS, and plain HTTP never leaves this machine. */
function createAgents(maxSockets: number) {
  const options = { keepAlive: true, maxSockets };
  const proxy = readOutboundProxy(process.env);
  const proxyEnv = proxy && { HTTPS_PROXY: proxy.url.href, NO_PROXY: proxy.noProxy };
  return {
    httpAgent: new HttpAgent(options),
    httpsAgent: new HttpsAgent({ ...options, ...(proxyEnv && { proxyEnv }) }),
  };
}

/** Of every service, because credentials go to STS and SSO as well. */
function checkEndpointVariables(env: Readonly<Record<string, string | undefined>>): void {
  if (env['AWS_IGNORE_CONFIGURED_ENDPOINT_URLS'] === 'true') return;
  for (const [name, value] of Object.entries(env)) {
    if (/^AWS_ENDPOINT_URL(?:_|$)/.test(name) && value) checkEndpoint(value, name);
  }
}

function checkEndpoint(url: string, source: string): void {
  if (URL.canParse(url) && isEncryptedOrLocal(url)) return;
  throw new ProviderError(
    'PROVIDER_UNAVAILABLE',
    `${source} names an endpoint that is not encrypted: expected https:// (http:// only to this machine)`,
  );
}

function isNoCredentials(error: unknown): error is Error {
  return error instanceof Error && /^(?:Credentials|Token)?ProviderError$/.test(error.name);
}
