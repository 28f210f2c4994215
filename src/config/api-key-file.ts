import { z } from 'zod';
import { ConfigError } from '../errors.ts';
import { principalFields } from './auth-schema.ts';
import { checkShape } from './check-shape.ts';
import { listProblems } from './list-problems.ts';
import { parseYaml } from './yaml.ts';

const apiKey = z
  .strictObject({
    id: z.string().regex(/^[A-Za-z0-9]{12,64}$/, 'expected 12 to 64 letters and digits'),
    /** SHA-256 of the whole key */
    hash: z.string().regex(/^[0-9a-f]{64}$/, 'expected a SHA-256, 64 hex digits'),
    ...principalFields,
    expires: z.iso
      .datetime({ offset: true, error: 'expected a time such as 2027-01-31T00:00:00Z' })
      .transform((text) => Date.parse(text))
      .optional(),
    revoked: z.boolean().default(false),
  })
  .transform(({ id, hash, principal, tenant = '', attributes, expires, revoked }) => ({
    id,
    hash: Uint8Array.from(Buffer.from(hash, 'hex')),
    principal: { id: principal, tenant, attributes },
    /** Unix milliseconds; undefined for a key that does not expire */
    expiresAtMs: expires,
    isRevoked: revoked,
  }));

const apiKeys = z.array(apiKey).superRefine((keys, context) => {
  const first = new Map<string, number>();
  for (const [index, { id }] of keys.entries()) {
    const earlier = first.get(id);
    if (earlier === undefined) first.set(id, index);
    else {
      const message = `has the id of entry ${earlier}`;
      context.addIssue({ code: 'custom', path: [index, 'id'], message });
    }
  }
});

/** An API key as its file describes it. */
export type ApiKeyEntry = z.output<typeof apiKey>;

/** Reads the file that `auth.apiKeys.file` names, by key id. Throws `CONFIG_INVALID` with every problem. */
export function parseApiKeyFile(text: string, path: string): ReadonlyMap<string, ApiKeyEntry> {
  const problems: string[] = [];
  const keys = checkShape(apiKeys, parseYaml(text, path), [], problems);
  if (keys) return new Map(keys.map((key) => [key.id, key]));
  throw new ConfigError(
    'CONFIG_INVALID',
    `${path} is not a valid list of API keys:\n${listProblems(problems)}\n` +
      'docs/authentication.md describes every field',
  );
}
