import type { KeyManagementServiceClient } from '@google-cloud/kms';

/** google-gax with its gRPC transport; the client package has it as a dependency and takes it as an argument. */
export type Gax = Extract<
  NonNullable<ConstructorParameters<typeof KeyManagementServiceClient>[1]>,
  { grpc: unknown }
>;
type AuthLibrary = Gax['googleAuthLibrary'];
type GoogleAuth = KeyManagementServiceClient['auth'];

/** What the tokens are for: OAuth scopes, and the host name of the service, for tokens that a service account signs itself. */
export type Audience = { readonly scopes: string[]; readonly servicePath: string };

/** Longest time that finding credentials or fetching a token may take; the library knows no bound on Google's machines. */
const fetchTimeoutMs = 5000;

/** A token is not used in the last moments of its life: the request with it still has to arrive. */
const tokenMarginMs = 30_000;

/** After a refusal, a token is fetched again, but at most once in this time. */
const shortestRenewalMs = 1000;

/** gRPC's own codes, which it takes over from an error of its source of tokens. */
const [unavailable, unauthenticated] = [14, 16];

/**
 * Access tokens by Application Default Credentials. A source that fails or hangs is asked anew, by fresh credentials, while the
 * token before it goes on serving as long as it is valid.
 */
export class AccessTokens {
  readonly #library: AuthLibrary;
  readonly #audience: Audience;
  readonly #projectId: string;
  #auth: GoogleAuth;
  #last: { readonly headers: Headers; readonly usableUntilMs: number } | undefined;
  #renewedAtMs = -Infinity;

  /** @param projectId of the key; without one the library asks the network which project it runs in. */
  constructor(library: AuthLibrary, audience: Audience, projectId: string) {
    this.#library = library;
    this.#audience = audience;
    this.#projectId = projectId;
    this.#auth = this.#createAuth();
  }

  /**
   * For the client: gives the tokens of this object. Finds the credentials first, for the domain that they belong to.
   *
   * @throws Error as {@link headers} does.
   */
  async toAuth(): Promise<GoogleAuth> {
    const { GoogleAuth: Auth, PassThroughClient: Client } = this.#library;
    const { universeDomain } = await this.#bounded((auth) => auth.getClient());
    const client = Object.assign(new Client({ universeDomain }), {
      getRequestHeaders: (url?: string) => this.headers(url),
    });
    return new Auth({ authClient: client });
  }

  /**
   * The headers that authenticate a request.
   *
   * @throws Error with gRPC's numeric `code`: 14 (UNAVAILABLE) when the source of the tokens failed for now, 16
   * (UNAUTHENTICATED) when there are no credentials or they are refused.
   */
  async headers(url?: string): Promise<Headers> {
    const fresh = this.#bounded((auth) => this.#fetch(auth, url));
    if (this.#last === undefined || this.#last.usableUntilMs <= Date.now()) return fresh;
    fresh.catch(() => undefined);
    return this.#last.headers;
  }

  /** The service refused the last token: the next one comes from fresh credentials. */
  refuse(): void {
    this.#last = undefined;
    this.#replace(this.#auth);
  }

  async #fetch(auth: GoogleAuth, url: string | undefined): Promise<Headers> {
    const client = await auth.getClient();
    const headers = await client.getRequestHeaders(url);
    if (!/^\S+ (?!undefined$|null$)\S/.test(headers.get('authorization') ?? '')) {
      throw new MalformedReplyError('the reply of the token service holds no access token');
    }
    const expiryMs = client.credentials.expiry_date;
    if (auth === this.#auth && typeof expiryMs === 'number') {
      this.#last = { headers, usableUntilMs: expiryMs - tokenMarginMs };
    }
    return headers;
  }

  async #bounded<Result>(work: (auth: GoogleAuth) => Promise<Result>): Promise<Result> {
    const auth = this.#auth;
    const { promise: tooLate, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const text = `the source of the credentials did not answer within ${fetchTimeoutMs} ms`;
      reject(new DOMException(text, 'TimeoutError'));
    }, fetchTimeoutMs);
    try {
      return await Promise.race([work(auth), tooLate]);
    } catch (error) {
      this.#replace(auth);
      const isPassing = isOutage(error) || (isNoneFound(error) && isSourceNamed());
      const message = error instanceof Error ? error.message : String(error);
      throw Object.assign(new Error(message), { code: isPassing ? unavailable : unauthenticated });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Replaces the credentials: every later request of the same ones would wait for a fetch that hangs. */
  #replace(auth: GoogleAuth): void {
    const nowMs = performance.now();
    if (auth !== this.#auth || nowMs - this.#renewedAtMs < shortestRenewalMs) return;
    this.#renewedAtMs = nowMs;
    this.#library.gcpMetadata.resetIsAvailableCache();
    this.#auth = this.#createAuth();
  }

  /** Creates credentials with the options that the client of Cloud KMS sets on those that it makes itself. */
  #createAuth(): GoogleAuth {
    const { scopes, servicePath } = this.#audience;
    const auth = new this.#library.GoogleAuth({ projectId: this.#projectId });
    return Object.assign(auth, {
      useJWTAccessWithScope: true,
      defaultServicePath: servicePath,
      defaultScopes: scopes,
    });
  }
}

class MalformedReplyError extends Error {}

/** Whether an error is an outage: of the network, of a service (HTTP 408, 429, 5xx), or a reply that no token service gives. */
function isOutage(error: unknown, depth = 0): boolean {
  if (!(error instanceof Error) || depth > 5) return false;
  const { status, response, code, type } = error as {
    status?: unknown;
    response?: { status?: unknown };
    code?: unknown;
    type?: unknown;
  };
  const httpStatus = [response?.status, status].find((value) => typeof value === 'number');
  if (httpStatus !== undefined) return [408, 429].includes(httpStatus) || httpStatus >= 500;
  return (
    error instanceof MalformedReplyError ||
    error instanceof SyntaxError ||
    ['AbortError', 'TimeoutError'].includes(error.name) ||
    type === 'request-timeout' ||
    (typeof code === 'string' && networkCodes.test(code)) ||
    isOutage(error.cause, depth + 1)
  );
}

const networkCodes =
  /^(?:ECONN(?:REFUSED|RESET|ABORTED)|E(?:HOST|NET)(?:UNREACH|DOWN)|ETIMEDOUT|EPIPE|ENOTFOUND|EAI_AGAIN|ERR_STREAM_PREMATURE_CLOSE|UND_ERR_\w+)$/;

function isNoneFound(error: unknown): boolean {
  return (
    error instanceof Error && error.message.startsWith('Could not load the default credentials')
  );
}

/** Whether the environment says that there is a metadata server, so that one that can't be reached is an outage. */
function isSourceNamed(): boolean {
  const { GCE_METADATA_HOST, GCE_METADATA_IP, METADATA_SERVER_DETECTION } = process.env;
  if (METADATA_SERVER_DETECTION?.trim().toLowerCase() === 'none') return false;
  return Boolean(GCE_METADATA_HOST ?? GCE_METADATA_IP);
}
