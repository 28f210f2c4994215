import type { RequestHandler } from 'express';

/** What gateways send beside the headers that any page may. */
const allowedHeaders =
  'Authorization, Content-Type, Idempotency-Key, Livepeer-Payer-Address, X-Api-Key, X-Request-Id, traceparent';

/** What gateways read off an answer. */
const exposedHeaders =
  'Livepeer-Orchestrator-Url, Livepeer-Signer-Code, Retry-After, WWW-Authenticate, X-Request-Id';

const allowedMethods = 'GET, POST';

/** How long a browser may remember the answer to its preflight, in seconds; Chromium's own bound. */
const preflightMaxAge = '7200';

/**
 * Lets pages of these origins, and no others, read the answers (Fetch Standard, CORS protocol). Cookies are never asked for:
 * a page has to send a credential of its own. A preflight of one of them is answered here; for any other origin nothing is
 * added, and the request goes on as from a client that knows no origins.
 */
export function allowOrigins(origins: readonly string[]): RequestHandler {
  const allowed = new Set(origins);
  return ({ method, headers }, response, next) => {
    if (allowed.size === 0) {
      next();
      return;
    }
    response.appendHeader('Vary', 'Origin');
    const { origin } = headers;
    if (origin === undefined || !allowed.has(origin)) {
      next();
      return;
    }
    response.setHeader('Access-Control-Allow-Origin', origin);
    if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) {
      response.setHeader('Access-Control-Expose-Headers', exposedHeaders);
      next();
      return;
    }
    response.setHeader('Access-Control-Allow-Methods', allowedMethods);
    response.setHeader('Access-Control-Allow-Headers', allowedHeaders);
    response.setHeader('Access-Control-Max-Age', preflightMaxAge);
    response.statusCode = 204;
    response.end();
  };
}
