import { z } from 'zod';
import type { ProviderContext, Secret } from '../../src/keys/provider.ts';
import { unpad } from './unpad.ts';
import { parsePkcs11Uri } from './uri.ts';

const selectors = ['token', 'serial', 'slot', 'label', 'id'] as const;

const pinForm = 'expected a reference, env:NAME or file:PATH, not the PIN itself';

const fields = z.strictObject({
  /** Path of the vendor's PKCS#11 library (.so). */
  module: z.string().min(1).optional(),
  /** Token label. */
  token: z.string().min(1).optional(),
  /** Token serial number. */
  serial: z.string().min(1).optional(),
  /** Slot id as the module reports it (CK_SLOT_ID), not an index. */
  slot: z.int().min(0).max(0xffffffff).optional(),
  /** CKA_LABEL of the key pair. */
  label: z.string().min(1).optional(),
  /** CKA_ID of the key pair in hex. */
  id: z
    .string('expected hex digits in quotes, such as "01"')
    .regex(/^([0-9a-fA-F]{2})+$/, 'expected an even number of hex digits')
    .optional(),
  /** Reference to the user PIN. */
  pin: z
    .string(pinForm)
    .regex(/^(env|file):./, pinForm)
    .optional(),
  /** PKCS#11 URI (RFC 7512) in place of the selecting fields. */
  uri: z.string().optional(),
  /** Sessions that sign at the same time; each has a thread of its own. */
  sessions: z.int().min(1).max(64).default(4),
  /** Accept a key that can leave the token, or whose value can be read. */
  allowExtractable: z.boolean().default(false),
  /** Environment variables that the module reads, set before it is loaded. */
  environment: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string()).optional(),
});

/** Strict schema of the `pkcs11` section; cross-checks between the fields and the URI included. */
export const configSchema = fields.superRefine((config, context) => {
  const report = (path: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [path], message });
  const { uri, problems } = parsePkcs11Uri(config.uri ?? 'pkcs11:');
  for (const problem of problems) report('uri', problem);
  if (config.uri !== undefined) {
    for (const name of selectors) {
      if (config[name] !== undefined) report(name, 'uri selects the key: leave this field out');
    }
    for (const name of ['module', 'pin'] as const) {
      if (config[name] !== undefined && uri[name] !== undefined) {
        report(name, 'the uri gives it already: keep one of the two');
      }
    }
    if (problems.length > 0) return;
  }
  const all = { ...config, ...uri };
  if (all.module === undefined) {
    report('module', 'the path of the PKCS#11 library is missing (or module-path in uri)');
  }
  const here = config.uri === undefined ? undefined : 'uri';
  if (all.token === undefined && all.serial === undefined && all.slot === undefined) {
    report(here ?? 'token', 'say which token: token (label), serial or slot');
  }
  if (all.label === undefined && all.id === undefined) {
    report(here ?? 'label', 'say which key: label or id');
  }
});

export type Pkcs11Config = z.infer<typeof configSchema>;

/**
 * Which token and which key; at least one of each group is there. What describes the token is without padding; `label` is
 * as configured; `id` is lower-case hex.
 */
export type KeyTarget = {
  readonly token?: string;
  readonly serial?: string;
  readonly model?: string;
  readonly manufacturer?: string;
  readonly slot?: number;
  readonly label?: string;
  readonly id?: string;
};

/** The configuration with the URI merged in and paths made absolute. */
export type ResolvedConfig = {
  readonly module: string;
  readonly target: KeyTarget;
  readonly keyRef: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly sessions: number;
  readonly allowExtractable: boolean;
  readonly pin: Secret | undefined;
};

/**
 * Merges URI and fields and resolves paths: `module`, and each value of `environment` that starts with `./` or
 * `../`. Throws `SECRET_UNREADABLE` when the PIN reference can't be read.
 */
export function resolveConfig(config: Pkcs11Config, context: ProviderContext): ResolvedConfig {
  const { uri } = parsePkcs11Uri(config.uri ?? 'pkcs11:');
  const all = { ...config, ...uri };
  const id = all.id?.toLowerCase();
  const target: KeyTarget = {
    ...(all.token !== undefined && { token: unpad(all.token) }),
    ...(all.serial !== undefined && { serial: unpad(all.serial) }),
    ...(uri.model !== undefined && { model: unpad(uri.model) }),
    ...(uri.manufacturer !== undefined && { manufacturer: unpad(uri.manufacturer) }),
    ...(all.slot !== undefined && { slot: all.slot }),
    ...(all.label !== undefined && { label: all.label }),
    ...(id !== undefined && { id }),
  };
  return {
    module: context.resolvePath(all.module ?? ''),
    target,
    keyRef: formatKeyRef(target),
    environment: Object.fromEntries(
      Object.entries(config.environment ?? {}).map(([name, value]) => [
        name,
        /^\.\.?\//.test(value) ? context.resolvePath(value) : value,
      ]),
    ),
    sessions: config.sessions,
    allowExtractable: config.allowExtractable,
    pin: all.pin === undefined ? undefined : context.readSecret(all.pin),
  };
}

/** The key as a PKCS#11 URI of path attributes only, e.g. `pkcs11:token=livepeer;object=payer`. */
function formatKeyRef(target: KeyTarget): string {
  const attributes = [
    target.token !== undefined && `token=${encodeURIComponent(target.token)}`,
    target.serial !== undefined && `serial=${encodeURIComponent(target.serial)}`,
    target.slot !== undefined && `slot-id=${target.slot}`,
    target.label !== undefined && `object=${encodeURIComponent(target.label)}`,
    target.id !== undefined && `id=${target.id.replace(/../g, '%$&')}`,
  ];
  return `pkcs11:${attributes.filter((attribute) => attribute !== false).join(';')}`;
}
