import type { IncomingHttpHeaders } from 'node:http';

/**
 * What ties a request to the caller's own records, in the caller's words. Nothing of it is verified: it is for the log, the audit
 * records and traces only.
 */
export type TraceContext = {
  /** W3C Trace Context in the form of version 00, to be passed on; undefined where the caller sent none that is valid */
  readonly traceparent: string | undefined;
  /** the `traceparent`'s trace, 32 hex digits */
  readonly traceId: string | undefined;
  /** the caller's `X-Request-Id`; undefined where it sent none that {@link clientRequestIdPattern} takes */
  readonly clientRequestId: string | undefined;
};

/** What holds for a request without either header. */
export const noTraceContext: TraceContext = {
  traceparent: undefined,
  traceId: undefined,
  clientRequestId: undefined,
};

/**
 * The form of `X-Request-Id` that is accepted: no blank, quote, comma or control character, so that it can be written anywhere.
 */
export const clientRequestIdPattern = /^[A-Za-z0-9._:/+=@-]{1,128}$/;

/** `traceparent` of any version; a later version may have more after the flags, which is not passed on. */
const traceparentPattern =
  /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]{0,256})?$/;

const allZero = /^0+$/;

/**
 * Reads the caller's `traceparent` and `X-Request-Id`. A header that is malformed, or was sent twice, counts as not sent: no
 * payment fails because of it (W3C Trace Context, 3.2.2.3 and 4.3).
 */
export function readTraceContext(headers: IncomingHttpHeaders): TraceContext {
  const { traceparent, 'x-request-id': requestId } = headers;
  if (traceparent === undefined && requestId === undefined) return noTraceContext;
  const clientRequestId =
    typeof requestId === 'string' && clientRequestIdPattern.test(requestId) ? requestId : undefined;
  const parent = typeof traceparent === 'string' ? readTraceparent(traceparent) : undefined;
  return { traceparent: parent, traceId: parent?.slice(3, 35), clientRequestId };
}

/** Writes it as version 00, whose only flag is 01, sampled. */
function readTraceparent(text: string): string | undefined {
  const [, version, traceId = '', parentId = '', flags = '', more] =
    traceparentPattern.exec(text) ?? [];
  const isMalformed =
    version === undefined || version === 'ff' || (version === '00' && more !== undefined);
  if (isMalformed || allZero.test(traceId) || allZero.test(parentId)) return undefined;
  return `00-${traceId}-${parentId}-0${Number.parseInt(flags, 16) & 1}`;
}
