import { isIP } from 'node:net';
import { ProviderError } from './provider.ts';

/** The proxy that the environment names, with the meaning that curl and Go give to the variables. */
export type OutboundProxy = {
  /** `http:` or `https:`, with the credentials from the environment: a secret where there are any. */
  readonly url: URL;
  /**
   * Hosts that are reached without the proxy, separated by commas; a name covers its subdomains only where `.name` is listed too.
   */
  readonly noProxy: string;
};

/**
 * The proxy for HTTPS requests: `https_proxy` before `HTTPS_PROXY`, as a URL or `host:port`; undefined where neither is set.
 * `no_proxy` before `NO_PROXY`: names (which stand for their subdomains too), `.name`, `*.name`, addresses and `*`, separated by
 * commas or white space.
 *
 * @throws ProviderError `PROVIDER_UNAVAILABLE`, which names the variable and never its content.
 */
export function readOutboundProxy(
  env: Readonly<Record<string, string | undefined>>,
): OutboundProxy | undefined {
  const [name, text] = firstSet(env, ['https_proxy', 'HTTPS_PROXY']);
  if (text === '') return undefined;
  const url = parseProxyUrl(text);
  if (url === undefined) {
    throw new ProviderError(
      'PROVIDER_UNAVAILABLE',
      `${name} is not the URL of an HTTP proxy: write http://HOST:PORT, with special characters of user and password ` +
        'percent-encoded, or unset it',
    );
  }
  const [, list] = firstSet(env, ['no_proxy', 'NO_PROXY']);
  const entries = list.split(/[\s,]+/).filter((entry) => entry !== '');
  return { url, noProxy: entries.flatMap(withSubdomains).join(',') };
}

/** Whether a host (in URL form, an IPv6 address in brackets) is reached through the proxy. */
export function isProxied({ noProxy }: OutboundProxy, host: string, port: number): boolean {
  const name = host.toLowerCase();
  return !noProxy
    .toLowerCase()
    .split(',')
    .some((entry) => {
      if (entry === '*') return true;
      const suffix = /^\*?(\..+)$/.exec(entry)?.[1];
      if (suffix !== undefined) return name.endsWith(suffix);
      return [name, `${name}:${port}`, name.replace(/^\[(.*)\]$/, '$1')].includes(entry);
    });
}

/** The first variable that is not empty, and its value; the value is empty when there is none. */
function firstSet(
  env: Readonly<Record<string, string | undefined>>,
  names: readonly string[],
): readonly [name: string, value: string] {
  const values = names.map((name) => [name, env[name]?.trim() ?? ''] as const);
  return values.find(([, value]) => value !== '') ?? ['', ''];
}

function parseProxyUrl(text: string): URL | undefined {
  const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(withScheme)) return undefined;
  const url = new URL(withScheme);
  try {
    decodeURIComponent(url.username + url.password);
  } catch {
    return undefined;
  }
  return ['http:', 'https:'].includes(url.protocol) ? url : undefined;
}

function withSubdomains(entry: string): readonly string[] {
  const isName = /^[a-z0-9]/i.test(entry) && !entry.includes(':') && isIP(entry) === 0;
  return isName ? [entry, `.${entry}`] : [entry];
}
