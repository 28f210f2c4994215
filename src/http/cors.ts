import type { RequestHandler } from 'express';

/** The headers that gateways send, besides those that any page may send. */
const allowedHeaders =
  'Authorization, Content-Type, Idempotency-Key, Livepeer-Payer-Address, X-Api-Key, X-Request-Id, traceparent';

/** The headers of an answer that gateways read. */
const exposedHeaders =
  'Livepeer-Orchestrator-Url, Livepeer-Signer-Code, Retry-After, WWW-Authenticate, X-Request-Id';

const allowedMethods = 'GET, POST';

/** How long a browser may remember the answer to its preflight, in seconds; the most that Chromium allows. */
const preflightMaxAge = '7200';

/**
 * Lets pages of these origins, and no others, read the answers (Fetch Standard, CORS protocol). Cookies are never allowed: a page
 * has to send a credential of its own. A preflight of one of these origins is answered here; for any other origin nothing is
 * added, and the request is handled like one from a client that is not a browser.
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
