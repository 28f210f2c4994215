import type { Request, Router } from 'express';
import type { CallerIdentifier } from '../../auth/caller.ts';
import { DiscoveryError } from '../../discovery/discovery-error.ts';
import type { DiscoveryFilter } from '../../discovery/snapshot.ts';
import { refuseMethod } from '../refuse-method.ts';
import { identifyCaller } from '../request-context.ts';
import { json, send } from '../send.ts';

export type DiscoverOrchestratorsRoute = {
  /** undefined where there is no such route */
  readonly discovery:
    | {
        /** The orchestrators that match, a JSON array. */
        readonly answer: (filter: DiscoveryFilter) => string;
        readonly requestsPerSecond: number;
        /** whether a credential is required here too */
        readonly isProtected: boolean;
      }
    | undefined;
  readonly identifyCaller: CallerIdentifier;
};

/** `GET /discover-orchestrators`: which orchestrators can be paid for what, from memory. */
export function mountDiscoverOrchestrators(
  router: Router,
  { discovery, identifyCaller: identify }: DiscoverOrchestratorsRoute,
): void {
  if (!discovery) return;
  const countRequest = createRateLimit(discovery.requestsPerSecond);
  router
    .route('/discover-orchestrators')
    .get(identifyCaller(identify, discovery.isProtected ? 'required' : 'optional'))
    .get((request, response) => {
      countRequest();
      const body = discovery.answer(filterOf(request));
      send(response, { status: 200, headers: json, body });
    })
    .all(refuseMethod('GET, HEAD'));
}

/** Makes a function that throws `DISCOVERY_RATE_EXCEEDED` for each request beyond the limit of a second. */
function createRateLimit(perSecond: number): () => void {
  let second = 0;
  let requests = 0;
  return () => {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) [second, requests] = [now, 0];
    requests += 1;
    if (requests <= perSecond) return;
    throw new DiscoveryError(
      'DISCOVERY_RATE_EXCEEDED',
      `more than ${perSecond} requests in a second; ask again later`,
      { retryable: true },
    );
  };
}

function filterOf({ originalUrl }: Request): DiscoveryFilter {
  const { searchParams } = new URL(originalUrl, 'http://signer');
  const valuesOf = (name: string) => searchParams.getAll(name).filter((value) => value !== '');
  return {
    caps: valuesOf('caps'),
    apps: valuesOf('app'),
    gpus: valuesOf('gpu').map((name) => name.trim()),
  };
}
