/** Longest text that is taken from an orchestrator, characters. */
export const maxTextLength = 2_048;

const schemePattern = /^[a-z][a-z0-9+.-]*:\/\//i;

/** `URL` drops control characters, and blanks at both ends, which whoever reads the text as it is would not. */
const droppedPattern = /\p{Cc}|^ | $/u;

/**
 * An http or https URL; undefined for anything else, for one with credentials or control characters, as in Go, and for one that is
 * too long.
 */
export function parseHttpUrl(text: string): URL | undefined {
  if (text.length > maxTextLength || droppedPattern.test(text)) return undefined;
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isHttp = url.protocol === 'https:' || url.protocol === 'http:';
  return isHttp && url.username + url.password === '' ? url : undefined;
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
