import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { RequestError } from '../../src/errors.ts';
import { vectorChain } from '../support/test-signer.ts';
import { type TestApp, startApp } from './app.ts';

const origin = 'https://app.example';
const exposed =
  'Livepeer-Orchestrator-Url, Livepeer-Signer-Code, Retry-After, WWW-Authenticate, X-Request-Id';

let app: TestApp;
let closed: TestApp;
beforeAll(async () => {
  const refuse = () =>
    Promise.reject(new RequestError('ORCHESTRATOR_MISSING', 'missing orchestrator'));
  app = await startApp(refuse, { corsOrigins: [origin, 'http://127.0.0.1:3000'] });
  closed = await startApp(refuse);
});
afterAll(async () => {
  await app.close();
  await closed.close();
});

const preflight = (from: string | undefined, url = app.url) =>
  fetch(`${url}/generate-live-payment`, {
    method: 'OPTIONS',
    headers: {
      ...(from !== undefined && { Origin: from }),
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'authorization,content-type,idempotency-key',
    },
  });

const corsOf = ({ headers }: Response) =>
  Object.fromEntries([...headers].filter(([name]) => name.startsWith('access-control-')));

describe('cross-origin requests', () => {
  it.each([origin, 'http://127.0.0.1:3000'])(
    'are granted to %s before they are made',
    async (from) => {
      const answer = await preflight(from);
      expect(answer.status).toBe(204);
      expect(corsOf(answer)).toEqual({
        'access-control-allow-origin': from,
        'access-control-allow-methods': 'GET, POST',
        'access-control-allow-headers':
          'Authorization, Content-Type, Idempotency-Key, Livepeer-Payer-Address, X-Api-Key, X-Request-Id, traceparent',
        'access-control-max-age': '7200',
      });
      expect(answer.headers.get('vary')).toBe('Origin');
    },
  );

  it.each([
    'https://app.example.evil',
    'https://evil.example',
    'http://app.example',
    'https://app.example:8443',
    'null',
    undefined,
  ])('are not granted to %s', async (from) => {
    const answer = await preflight(from);
    expect(answer.status).toBe(405);
    expect(corsOf(answer)).toEqual({});
    expect(answer.headers.get('vary')).toBe('Origin');
  });

  it.each(['/sign-orchestrator-info', '/generate-live-payment', '/nowhere'])(
    'of a granted origin can read the answer of %s, refusals too',
    async (path) => {
      const answer = await fetch(app.url + path, { method: 'POST', headers: { Origin: origin } });
      expect(corsOf(answer)).toEqual({
        'access-control-allow-origin': origin,
        'access-control-expose-headers': exposed,
      });
    },
  );

  it('are as any others where no origin is configured', async () => {
    const answer = await preflight(origin, closed.url);
    expect(answer.status).toBe(405);
    expect(corsOf(answer)).toEqual({});
    expect(answer.headers.has('vary')).toBe(false);
  });
});

describe('server.cors.origins', () => {
  it.each([
    '*',
    'https://app.example/',
    'https://app.example/path',
    'https://app.example:443',
    'app.example',
    'null',
    'ftp://app.example',
    '',
  ])('takes no %j', (text) => {
    const settings = {
      keys: [{ provider: 'test-key' }],
      chain: vectorChain,
      server: { cors: { origins: [text] } },
    };
    expect(configSchema.safeParse(settings).error?.issues).toMatchObject([
      { path: ['server', 'cors', 'origins', 0] },
    ]);
  });
});
