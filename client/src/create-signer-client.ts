import type { BackoffOptions } from './backoff.ts';
import {
  type DiscoveredOrchestrator,
  type DiscoveryFilter,
  discoverOrchestrators,
} from './discover-orchestrators.ts';
import type { Fetch } from './fetch.ts';
import {
  generateLivePayment,
  type LivePaymentRequest,
  type LivePaymentResult,
} from './generate-live-payment.ts';
import { type OrchestratorInfoSignature, signOrchestratorInfo } from './sign-orchestrator-info.ts';
import { SignerTransport } from './signer-transport.ts';

/** Where a signer is, and how it is asked. */
export type SignerClientOptions = {
  /** Where the signer is; a path in it is kept. */
  readonly url: string;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** An API key or token, sent as `Authorization: Bearer`. A function is asked for it before every request. */
  readonly credential?: string | (() => string | Promise<string>);
  /** Instead of the global `fetch`. */
  readonly fetch?: Fetch;
  /** How long to wait for each answer; 5,000 if left out. */
  readonly timeoutMs?: number;
  /** How long to wait in all between the tries of one call; 30,000 if left out. */
  readonly maxWaitMs?: number;
  /** At least 0 and below 1, for the spread of pauses; `Math.random` if left out. */
  readonly random?: () => number;
};

/** The endpoints of a remote signer. */
export type SignerClient = {
  /** Who pays. Asked once and remembered; `fresh` asks again, for a signer whose key was changed. */
  signOrchestratorInfo(options?: {
    readonly fresh?: boolean;
    readonly signal?: AbortSignal;
  }): Promise<OrchestratorInfoSignature>;
  /** One request for one payment, without any repetition: a payment session does that. */
  generateLivePayment(request: LivePaymentRequest): Promise<LivePaymentResult>;
  /** Orchestrators and their runners, as the signer knows them. */
  discoverOrchestrators(filter?: DiscoveryFilter): Promise<readonly DiscoveredOrchestrator[]>;
  /** How payment sessions wait. */
  readonly backoff: BackoffOptions;
};

/**
 * A client of one remote signer: go-livepeer's, livepeer/node's or another that speaks their protocol. All calls throw
 * `SignerRefusalError`, `SignerUnreachableError`, and the reason of an aborted `signal`.
 *
 * @example
 * ```ts
 * import { createSignerClient } from 'livepeer-remote-signer-client';
 *
 * const client = createSignerClient({ url: 'http://127.0.0.1:7936', credential: 'an API key' });
 * const { address } = await client.signOrchestratorInfo();
 * console.log(`payments come from ${address}`);
 * ```
 */
export function createSignerClient(options: SignerClientOptions): SignerClient {
  const { url, headers = {}, credential, fetch, timeoutMs = 5_000 } = options;
  const { maxWaitMs = 30_000, random = Math.random } = options;
  const backoff = { random, maxWaitMs };
  const transport = new SignerTransport({
    baseUrl: new URL(url).href.replace(/\/?$/, '/'),
    headers: async () => {
      if (credential === undefined) return headers;
      const token = typeof credential === 'string' ? credential : await credential();
      return { ...headers, Authorization: `Bearer ${token}` };
    },
    fetch,
    timeoutMs,
    backoff,
  });
  let known: OrchestratorInfoSignature | undefined;
  return {
    backoff,
    signOrchestratorInfo: async ({ fresh = false, signal } = {}) => {
      if (known === undefined || fresh) known = await signOrchestratorInfo(transport, signal);
      return known;
    },
    generateLivePayment: (request) => generateLivePayment(transport, request),
    discoverOrchestrators: (filter = {}) => discoverOrchestrators(transport, filter),
  };
}
