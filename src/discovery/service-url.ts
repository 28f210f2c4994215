/** Longest text that is taken from an orchestrator, characters. */
export const maxTextLength = 2_048;

const schemePattern = /^[a-z][a-z0-9+.-]*:\/\//i;

/** `URL` drops control characters, and blanks at both ends, and takes a backslash for a slash; whoever reads the text as it is does not. */
const misreadPattern = /\p{Cc}|^ | $|\\|%(?![0-9a-f]{2})/iu;

/** The host as it is written, an IPv6 address in brackets, with neither credentials before it nor anything but a port after it. */
const authorityPattern = /^https?:\/\/(\[[0-9a-f:.]+\]|[^/?#@:[\]]+)(?::\d*)?(?:[/?#]|$)/i;

/**
 * An http or https URL; undefined for anything else, for one that is too long, and for one that a client in Go would refuse or
 * read as another: with credentials, control characters, backslashes, a `%` that encodes nothing, or a host that `URL` would write
 * in another way (`0x7f.1`, `example.com` in wide letters).
 */
export function parseHttpUrl(text: string): URL | undefined {
  if (text.length > maxTextLength || misreadPattern.test(text)) return undefined;
  const [, host] = authorityPattern.exec(text) ?? [];
  const url = URL.parse(text);
  if (host === undefined || !url) return undefined;
  const isAsWritten = host.startsWith('[') || url.hostname === host.toLowerCase();
  return isAsWritten ? url : undefined;
}

/** Where an orchestrator is asked: `https` where no scheme is given, no slash at the end; undefined when it is no such URL. */
export function parseServiceUrl(text: string): string | undefined {
  const trimmed = text.trim();
  const url = parseHttpUrl(schemePattern.test(trimmed) ? trimmed : `https://${trimmed}`);
  return url && withoutSlash(url.origin + url.pathname);
}

/** A URL as it was given, without slashes at its end. */
export function withoutSlash(url: string): string {
  return url.replace(/\/+$/, '');
}
