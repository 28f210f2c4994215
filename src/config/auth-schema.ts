import { z } from 'zod';
import { isPrincipalName, principalNameForm } from '../auth/principal-name.ts';
import { refuseBlockedPort } from './blocked-ports.ts';
import { address, milliseconds, network } from './fields.ts';
import { isReference } from './secret-urls.ts';

/** Headers whose values are credentials. */
const credentialHeader = /^(?:proxy-)?authorization$|^cookie$|(?:key|secret|token)$/i;

export const webhookHeaders = z.record(z.string(), z.string()).superRefine((headers, context) => {
  for (const [name, value] of Object.entries(headers)) {
    if (!credentialHeader.test(name) || isReference(value)) continue;
    context.addIssue({
      code: 'custom',
      path: [name],
      message: 'expected a reference, env:NAME or file:PATH, not the credential itself',
    });
  }
});

export const webhookUrl = z
  .url({ protocol: /^https?$/, abort: true, error: 'expected an http or https URL' })
  .refine((url) => new URL(url).username + new URL(url).password === '', {
    message: 'expected a URL without user name and password: send credentials by `headers`',
  })
  .superRefine(refuseBlockedPort);

const headerName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'expected the name of a header');

const webhook = z.strictObject({
  url: webhookUrl,
  /** header name to secret reference or plain text */
  headers: webhookHeaders.default({}),
  timeoutMs: milliseconds.default(5_000),
  /** the headers that tell callers apart: the webhook's answer for a caller holds for the same values only */
  credentialHeaders: z
    .array(headerName)
    .min(1, 'expected a header')
    .default(['Authorization', 'Cookie', 'X-Api-Key']),
});

const name = z.string().refine(isPrincipalName, `expected ${principalNameForm}`);

/** The principal that a credential stands for; the same fields in the configuration and in the file of API keys. */
export const principalFields = {
  principal: name,
  tenant: name.optional(),
  attributes: z
    .record(z.string(), z.string())
    .superRefine(({ payer }, context) => {
      if (payer === undefined || address.safeParse(payer).success) return;
      context.addIssue({
        code: 'custom',
        path: ['payer'],
        message: 'expected 0x and 40 hex digits: the address of the key that pays',
      });
    })
    .default({}),
};

const loopbackHosts = ['localhost', '127.0.0.1', '[::1]'];

/** The server there decides which tokens are accepted, so the connection must be protected. */
const jwksUrl = z
  .url({ protocol: /^https?$/, abort: true, error: 'expected an https URL' })
  .refine((text) => {
    const { protocol, hostname } = new URL(text);
    return protocol === 'https:' || loopbackHosts.includes(hostname);
  }, 'expected an https URL; http is for this machine only')
  .refine((text) => new URL(text).username + new URL(text).password === '', {
    message: 'expected a URL without user name and password',
  })
  .superRefine(refuseBlockedPort);

const algorithms = z.enum(['RS256', 'ES256', 'EdDSA']);

const jwtIssuer = z.strictObject({
  issuer: z.string().min(1),
  audience: z.string().min(1),
  jwksUrl,
  requiredScopes: z.array(z.string().regex(/^\S+$/, 'expected a scope')).default([]),
  algorithms: z
    .array(algorithms)
    .min(1, 'expected an algorithm')
    .default(['RS256', 'ES256', 'EdDSA']),
  principalClaim: z.string().min(1).default('sub'),
  tenantClaim: z.string().min(1).optional(),
});

const certificateRule = z
  .strictObject({
    /** in RFC 4514's form */
    subject: z.string().min(1).optional(),
    san: z
      .string()
      .regex(/^(?:DNS|URI):./, 'expected DNS:NAME or URI:NAME')
      .optional(),
    ...principalFields,
  })
  .refine(({ subject, san }) => (subject === undefined) !== (san === undefined), {
    message: 'expected either subject or san',
  });

/** Who may ask, and how they prove it; docs/configuration.md explains each field to operators. */
export const auth = z
  .strictObject({
    apiKeys: z.strictObject({ file: z.string().min(1) }).optional(),
    jwt: z
      .array(jwtIssuer)
      .min(1, 'expected an issuer')
      .refine((issuers) => new Set(issuers.map(({ issuer }) => issuer)).size === issuers.length, {
        message: 'expected each issuer once',
      })
      .optional(),
    mtls: z.array(certificateRule).min(1, 'expected a certificate').optional(),
    /** Require a credential at /sign-orchestrator-info too. */
    protectOrchestratorInfo: z.boolean().default(false),
    /** Require a credential at /discover-orchestrators too. */
    protectDiscovery: z.boolean().default(false),
    webhook: webhook.optional(),
    /** addresses (with a prefix length for networks) whose `Signer-Auth-Id` is believed */
    trustedProxies: z.array(network).default([]),
  })
  .superRefine((auth, context) => {
    for (const field of ['protectOrchestratorInfo', 'protectDiscovery'] as const) {
      if (!auth[field] || asksForCredentials(auth)) continue;
      context.addIssue({
        code: 'custom',
        path: [field],
        message: 'needs one of apiKeys, jwt, mtls',
      });
    }
  });

/** Whether callers must present a credential of their own. */
export function asksForCredentials({
  apiKeys,
  jwt,
  mtls,
}: Readonly<Partial<Record<'apiKeys' | 'jwt' | 'mtls', unknown>>>): boolean {
  return apiKeys !== undefined || jwt !== undefined || mtls !== undefined;
}

/** Authentication by client certificate needs both: a CA that vouches for it, and a principal. */
export function refuseHalfMtls(
  settings: {
    server: { tls?: { clientCa?: string | undefined } | undefined };
    auth: { mtls?: unknown };
  },
  context: z.RefinementCtx,
): void {
  const hasCa = settings.server.tls?.clientCa !== undefined;
  const hasRules = settings.auth.mtls !== undefined;
  if (hasCa === hasRules) return;
  context.addIssue({
    code: 'custom',
    ...(hasRules
      ? {
          path: ['auth', 'mtls'],
          message: 'needs server.tls.clientCa, which vouches for certificates',
        }
      : {
          path: ['server', 'tls', 'clientCa'],
          message: 'needs auth.mtls, which says whose certificates they are',
        }),
  });
}
