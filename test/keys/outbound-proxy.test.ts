import { describe, expect, it } from 'vitest';
import { isProxied, readOutboundProxy } from '../../src/keys/outbound-proxy.ts';

const read = (env: Record<string, string | undefined>) => {
  const proxy = readOutboundProxy(env);
  return proxy && { url: proxy.url.href, noProxy: proxy.noProxy };
};

describe('the way out of the network', () => {
  it('is the first of https_proxy and HTTPS_PROXY that is set', () => {
    expect(read({})).toBeUndefined();
    expect(read({ https_proxy: ' ', HTTPS_PROXY: '' })).toBeUndefined();
    const lower = { https_proxy: 'http://a:1' };
    expect(read(lower)).toEqual({ url: 'http://a:1/', noProxy: '' });
    expect(read({ HTTPS_PROXY: ' https://u:p%40@b:2 ' })?.url).toBe('https://u:p%40@b:2/');
    expect(read({ HTTPS_PROXY: 'HTTP://b:2' })?.url).toBe('http://b:2/');
    expect(read({ ...lower, HTTPS_PROXY: 'http://b' })?.url).toBe('http://a:1/');
    expect(read({ https_proxy: '', HTTPS_PROXY: 'proxy:3128' })?.url).toBe('http://proxy:3128/');
    // a scheme is what it begins with, and nothing further on
    expect(read({ https_proxy: 'proxy:3128/?to=http://a' })?.url).toBe(
      'http://proxy:3128/?to=http://a',
    );
  });

  it.each([
    ['https_proxy', 'socks5://secret:1'],
    ['https_proxy', 'git+http://secret'],
    ['https_proxy', 'x://secret'],
    ['https_proxy', 'X.y-z://secret'],
    ['https_proxy', 'https://'],
    ['https_proxy', 'http://'],
    ['HTTPS_PROXY', 'http://secret%:x@host'],
    ['HTTPS_PROXY', 'secret host'],
  ])('is refused where %s is %s, without a word of it', (name, text) => {
    expect(() => read({ [name]: text })).toThrow(
      expect.objectContaining({
        code: 'PROVIDER_UNAVAILABLE',
        message: expect.stringMatching(new RegExp(`^${name} is not the URL`)) as string,
      }),
    );
    expect(() => read({ [name]: text })).not.toThrow(/secret/);
  });

  it('is not for the hosts of no_proxy, and a name’s subdomains', () => {
    const noProxy = (env: object) => read({ https_proxy: 'http://p', ...env })?.noProxy;
    expect(noProxy({ no_proxy: 'a.example,  .b\n*.c 10.0.0.1, ::1 d:80,*' })).toBe(
      'a.example,.a.example,.b,*.c,10.0.0.1,::1,d:80,*',
    );
    expect(noProxy({ no_proxy: ',x,,y,' })).toBe('x,.x,y,.y');
    expect(noProxy({ no_proxy: 'A.example' })).toBe('A.example,.A.example');
    expect(noProxy({ no_proxy: 'x', NO_PROXY: 'y' })).toBe('x,.x');
    expect(noProxy({ no_proxy: ' ', NO_PROXY: 'y' })).toBe('y,.y');
  });

  it.each([
    ['a.example', 'A.example', 443, false],
    ['a.example', 'b.a.example', 443, false],
    ['a.example', 'ba.example', 443, true],
    ['A.Example', 'b.a.example', 443, false],
    ['.a.example', 'a.example', 443, true],
    ['.a.example', 'b.a.example', 443, false],
    ['*.a.example', 'b.A.example', 443, false],
    ['*.a.example', 'a.example', 443, true],
    ['d:80', 'd', 80, false],
    ['d:80', 'd', 443, true],
    ['10.0.0.1', '10.0.0.1', 443, false],
    ['10.0.0.1', '1.10.0.0.1', 443, true],
    ['::1', '[::1]', 443, false],
    ['x, *', 'any', 443, false],
    ['', 'any', 443, true],
  ])('with no_proxy=%s, %s:%i is reached through it: %s', (list, host, port, expected) => {
    const proxy = readOutboundProxy({ https_proxy: 'http://p', no_proxy: list });
    if (!proxy) throw new Error('no proxy');
    expect(isProxied(proxy, host, port)).toBe(expected);
  });
});
