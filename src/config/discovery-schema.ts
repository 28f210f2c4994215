import { z } from 'zod';
import { address, milliseconds, network } from './fields.ts';
import { isHttpUrl, isReference } from './secret-urls.ts';

/** The orchestrators that are listed at /discover-orchestrators. */
export const discovery = z
  .strictObject({
    /** service URLs; https where they have no scheme */
    orchestrators: z.array(z.string().min(1)).optional(),
    /** answers a JSON array of {address}; or a secret reference to the URL */
    webhookUrl: z
      .string()
      .refine(
        (url) => isReference(url) || isHttpUrl(url),
        'expected an http or https URL, or a reference to one, env:NAME or file:PATH',
      )
      .optional(),
    /** the orchestrators that are active on the chain */
    chain: z.boolean().default(false),
    /** another ServiceRegistry than the Controller's */
    serviceRegistry: address.optional(),
    refreshIntervalMs: milliseconds.default(60_000),
    /** how long an orchestrator's last answer is listed */
    maxAgeMs: milliseconds.default(600_000),
    requestTimeoutMs: milliseconds.default(8_000),
    /** further nodes of an orchestrator that are asked too */
    extraNodes: z.int().nonnegative().max(100).default(0),
    /** Ethereum addresses of orchestrators that are not listed */
    blocklist: z.array(address).prefault([]),
    /** addresses that may be asked although they are not public, and by http */
    grants: z.array(network).default([]),
    /** Whether runners are taken only from servers with a trusted certificate. */
    verifyTls: z.boolean().default(true),
    /** requests beyond this are answered 429 */
    requestsPerSecond: z.int().positive().default(100),
  })
  .refine(
    ({ orchestrators, webhookUrl, chain }) => orchestrators ?? webhookUrl ?? (chain || undefined),
    { message: 'needs one of orchestrators, webhookUrl, chain: true' },
  )
  .refine(({ serviceRegistry, chain }) => serviceRegistry === undefined || chain, {
    path: ['serviceRegistry'],
    message: 'needs chain: true',
  })
  .refine(({ maxAgeMs, refreshIntervalMs }) => maxAgeMs > refreshIntervalMs, {
    path: ['maxAgeMs'],
    message: 'expected more than refreshIntervalMs',
  });
