import { hash } from 'node:crypto';
import { createNetworkList } from '../ip-networks.ts';
import type { Authenticator } from './authenticator.ts';
import { AuthError, type Caller } from './authorization.ts';
import type { ClientCertificate } from './client-certificate.ts';
import { isPrincipalName, principalNameForm } from './principal-name.ts';
import { type TraceContext, noTraceContext } from '../trace-context.ts';

/** What the transport tells of a request's sender. */
export type Transport = {
  /** names and values of the headers in turn, as received */
  readonly rawHeaders: readonly string[];
  readonly remoteAddress: string;
  readonly certificate: ClientCertificate | undefined;
  readonly trace?: TraceContext;
};

/** Who asks. Where credentials are not `required`, it may be anybody. Throws {@link AuthError}. */
export type CallerIdentifier = (
  transport: Transport,
  demand: 'required' | 'optional',
) => Promise<Caller>;

export type CallerIdentifierOptions = {
  readonly authenticate: Authenticator;
  /** addresses and networks */
  readonly trustedProxies: readonly string[];
  /** the headers that make up a credential; by default Authorization, Cookie and X-Api-Key */
  readonly credentialHeaders?: readonly string[] | undefined;
};

/** Establishes who asks from headers and certificate. */
export function createCallerIdentifier({
  authenticate,
  trustedProxies,
  credentialHeaders = ['Authorization', 'Cookie', 'X-Api-Key'],
}: CallerIdentifierOptions): CallerIdentifier {
  const isTrustedProxy = createNetworkList(trustedProxies);
  const credentialNames = [...new Set(credentialHeaders.map(canonicalHeaderName))].sort();
  return async ({ rawHeaders, remoteAddress, certificate, trace = noTraceContext }, demand) => {
    const headers = readHeaders(rawHeaders, isTrustedProxy(remoteAddress));
    return {
      headers,
      authId: readAuthId(headers),
      trace,
      principal: await authenticate({ headers, certificate }, demand),
      get credentialHash() {
        return hashCredential(headers, certificate, credentialNames);
      },
    };
  };
}

/** The principal as the trusted proxy names it. Throws `CREDENTIAL_INVALID` where that is no principal's name, or not the only one. */
function readAuthId(headers: Caller['headers']): string {
  const [authId = '', ...others] = headers.get('Signer-Auth-Id') ?? [];
  // a proxy that adds its own leaves the client's before it
  if (others.length > 0) {
    throw new AuthError(
      'CREDENTIAL_INVALID',
      'Signer-Auth-Id came more than once: have the proxy put its own in the place of what the client sent',
    );
  }
  if (authId === '' || isPrincipalName(authId)) return authId;
  throw new AuthError('CREDENTIAL_INVALID', `Signer-Auth-Id is not ${principalNameForm}`);
}

const knownNames = new Map<string, string>();
const maxKnownNames = 500;

/** A header's name as Go writes it: each part between hyphens capitalised. Worked out once for names that come again. */
function canonicalHeaderName(name: string): string {
  const known = knownNames.get(name);
  if (known !== undefined) return known;
  const canonical = name.toLowerCase().replace(/(^|-)([a-z])/g, (part) => part.toUpperCase());
  if (knownNames.size < maxKnownNames) knownNames.set(name, canonical);
  return canonical;
}

function hashCredential(
  headers: Caller['headers'],
  certificate: ClientCertificate | undefined,
  names: readonly string[],
): string {
  const credentials = names.flatMap((name) =>
    (headers.get(name) ?? []).map((value) => [name, value]),
  );
  if (certificate) credentials.push(['client certificate', certificate.fingerprint]);
  if (credentials.length === 0) return '';
  return hash('sha256', JSON.stringify(credentials));
}

function readHeaders(
  rawHeaders: readonly string[],
  isTrustedProxy: boolean,
): Map<string, string[]> {
  const headers = new Map<string, string[]>();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = canonicalHeaderName(rawHeaders[index] ?? '');
    const value = rawHeaders[index + 1] ?? '';
    if (name === 'Host' || (name.startsWith('Signer-') && !isTrustedProxy)) continue;
    const values = headers.get(name);
    if (values) values.push(value);
    else headers.set(name, [value]);
  }
  return headers;
}
