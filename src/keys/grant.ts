import type { Intent } from './intents.ts';

/**
 * Permission to sign exactly one Intent, once, for a short time. It carries no data: what it permits is known only to the
 * authority that issued it (`src/policy/grants.ts`), so one made anywhere else permits nothing.
 */
export class Grant {
  declare private readonly brand: 'Grant';
}

/** Why a grant was given, for the audit record. Never a secret. */
export type GrantReason = {
  /** undefined when the signer acts of its own accord */
  readonly requestId?: string;
  /** what the caller says the request belongs to: its trace, 32 hex digits, and its own id of the request */
  readonly traceId?: string | undefined;
  readonly clientRequestId?: string | undefined;
  /** who asked, and for whom; '' for nobody */
  readonly principal?: string;
  readonly tenant?: string;
  /** the rules that matched, and those in observe mode that would have denied */
  readonly rules?: readonly string[];
  readonly observed?: readonly string[];
  /** exact text in wei, whole or as a fraction n/d, or counts, by name */
  readonly amounts?: Readonly<Record<string, string>>;
  /** what the payment is about: session, orchestrator, app, manifest id, by name */
  readonly subject?: Readonly<Record<string, string>>;
  /** capabilities and models that are paid for, as `CAPABILITY/MODEL` */
  readonly models?: readonly string[];
  /** the names that the client gives its own job, by label */
  readonly usage?: Readonly<Record<string, string>>;
};

/** What a grant permits, and why. */
export type Permission = { readonly intent: Intent; readonly reason: GrantReason };
