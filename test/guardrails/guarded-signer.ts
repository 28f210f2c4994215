import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestSigner, TestSignerOptions } from '../support/test-signer.ts';
import { startTestSigner } from '../support/test-signer.ts';
import {
  type Changes,
  type Members,
  buildRequest,
  mergeChanges,
  ticketsWorth,
  usualNow,
  usualTokenExpiration,
} from '../payments/request-builder.ts';

export type GuardedSigner = TestSigner & {
  readonly folder: string;
  /** Puts another policy file in the place of the one in force. */
  writePolicy(yaml: string): void;
};

export type GuardedOptions = TestSignerOptions & {
  /** the policy file; none when left out */
  readonly policy?: string;
};

/**
 * A signer with a policy file, an audit log and an embedded ledger in a folder of its own, whose callers are named by a
 * trusted proxy: `Signer-Auth-Id: TENANT:USER`.
 */
export async function startGuardedSigner(options: GuardedOptions = {}): Promise<GuardedSigner> {
  const folder = mkdtempSync(join(tmpdir(), 'livepeer-hsm-signer-guarded-'));
  const file = join(folder, 'policy.yaml');
  if (options.policy !== undefined) writeFileSync(file, options.policy);
  const signer = await startTestSigner({
    ...options,
    settings: {
      audit: { path: join(folder, 'audit') },
      store: { kind: 'embedded', path: join(folder, 'store') },
      auth: { trustedProxies: ['127.0.0.1'] },
      ...options.settings,
      policy: {
        ...(options.policy !== undefined && { file }),
        ...(options.settings?.['policy'] as object | undefined),
      },
    },
  });
  signer.now = usualNow;
  const stop = signer.close.bind(signer);
  return Object.assign(signer, {
    folder,
    writePolicy: (yaml: string) => writeFileSync(file, yaml),
    close: async () => {
      await stop();
      rmSync(folder, { recursive: true });
    },
  });
}

/** What one ticket of {@link firstPayment} is worth. */
export const ticketEv = 1_000_000_000n;

/** A session's first payment, of `tickets` tickets worth {@link ticketEv} each. */
export function firstPayment(tickets: number, changes: Changes = {}): Promise<string> {
  const body: Members = { type: '', inPixels: tickets };
  return buildRequest(
    mergeChanges(changes, {
      state: null,
      body,
      priceInfo: { pricePerUnit: ticketEv, pixelsPerUnit: 1n },
      ticketParams: ticketsWorth(ticketEv),
      authToken: { expiration: usualTokenExpiration + 86_400n },
    }),
  );
}

/** The next payment of the session that `sealed` is the state of. */
export function nextPayment(
  sealed: { readonly State: string; readonly Sig: string },
  tickets: number,
  changes: Changes = {},
): Promise<string> {
  return firstPayment(tickets, mergeChanges(changes, { body: { state: sealed } }));
}

/** The headers of a trusted proxy that says who calls. */
export function as(authId: string): Record<string, string> {
  return { 'Signer-Auth-Id': authId };
}
