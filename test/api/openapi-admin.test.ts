import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeAdminApi } from '../../src/admin/admin-api.ts';
import type { AdminSource } from '../../src/admin/admin-source.ts';
import { mergeStatuses } from '../../src/admin/signer-status.ts';
import { openAdmin } from '../../src/compose/admin.ts';
import { loadConfig } from '../../src/config/load.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { renderMetrics } from '../../src/telemetry/render-metrics.ts';
import { newAuthority, newCertificate } from '../auth/certificates.ts';
import { Folder, devConfig, root } from '../cli/cli.ts';
import { soon } from '../support/soon.ts';
import {
  type TestSigner,
  type TestSignerOptions,
  startTestSigner,
} from '../support/test-signer.ts';
import { lint } from './lint.ts';
import { type Answer, type ApiDocument, type Question, Recorder } from './recorder.ts';

const file = join(root, 'docs/openapi-admin.json');
const document = describeAdminApi() as ApiDocument;
const recorder = new Recorder(document);
const opened = new AsyncDisposableStack();
const folder = opened.use(new Folder());
afterAll(() => opened.disposeAsync());

const paths = Object.keys(document.paths);
const orders = ['/pause', '/resume'];
const guarded = paths.filter((path) => path !== '/healthz');

function ask(url: string, path: string, question: Question = {}): Promise<Answer> {
  const method = orders.includes(path) ? 'POST' : 'GET';
  return recorder.ask(url, path, { method, ...question });
}

async function start(settings: TestSignerOptions['settings'] = {}): Promise<TestSigner> {
  const signer = await startTestSigner({ settings });
  opened.defer(() => signer.close());
  return signer;
}

/** An admin listener over what `source` tells, as `serve` opens it. */
async function open(source: AdminSource): Promise<string> {
  const config = await loadConfig(
    folder.write('signer.yaml', `${devConfig}admin: { listen: '127.0.0.1:0' }\n`),
  );
  const admin = await openAdmin(config, pino({ enabled: false }), source);
  opened.defer(() => admin?.close());
  return admin?.url ?? '';
}

let signer: TestSigner;
beforeAll(async () => {
  signer = await start({
    store: { kind: 'embedded', path: join(folder.path, 'spending') },
    audit: { path: join(folder.path, 'audit') },
  });
});

it('docs/openapi-admin.json has nothing that the linter minds, who minds a path without an answer', async () => {
  expect(await lint(file)).toMatchObject({ errors: 0, warnings: 0, ignored: 0 });
  const wrong = readFileSync(file, 'utf8').replace('"responses"', '"replies"');
  const { errors } = await lint(folder.write('wrong.json', wrong));
  expect(errors).toBeGreaterThan(0);
});

describe('every answer of the admin listener is of docs/openapi-admin.json', () => {
  it('when it is read', async () => {
    for (const path of paths.filter((each) => !orders.includes(each))) {
      const isEndless = path === '/events';
      expect((await ask(signer.adminUrl, path, { isEndless })).status, path).toBe(200);
      expect((await ask(signer.adminUrl, path, { method: 'HEAD' })).status, path).toBe(200);
    }
    const headers = { Accept: 'application/openmetrics-text' };
    expect((await ask(signer.adminUrl, '/metrics', { headers })).status).toBe(200);
  });

  it('when it carries out an order of the page, or does not', async () => {
    const post = (path: string, question: Question) => ask(signer.adminUrl, path, question);
    for (const path of orders) {
      const body = `confirm=yes&reason=who`;
      expect((await post(path, { body })).status).toBe(303);
      expect((await post(path, { body: 'confirm=no' })).status).toBe(400);
      const packed = { body, headers: { 'Content-Encoding': 'gzip' } };
      expect((await post(path, packed)).headers['livepeer-signer-code']).toBe('BODY_MALFORMED');
      expect((await post(path, { body: 'x'.repeat(4_097) })).status).toBe(413);
      const elsewhere = { body, headers: { Origin: 'https://elsewhere.example' } };
      expect((await post(path, elsewhere)).status).toBe(403);
    }
    // no place to keep the switch
    const { adminUrl } = await start();
    for (const path of orders) {
      const { status, text } = await ask(adminUrl, path, { body: 'confirm=yes' });
      expect({ status, text }).toMatchObject({
        status: 503,
        text: expect.stringMatching(/^[A-Z_]+: /) as string,
      });
    }
  });

  it('when it is asked by another method', async () => {
    for (const path of paths) {
      expect((await ask(signer.adminUrl, path, { method: 'DELETE' })).status, path).toBe(405);
    }
  });

  it('when it is asked by a name of somebody else’s', async () => {
    const headers = { Host: 'rebound.example' };
    for (const path of guarded) {
      expect((await ask(signer.adminUrl, path, { headers })).status, path).toBe(421);
    }
  });

  it('when the credential is missing', async () => {
    const token = `file:${folder.write('token', 'operator-0123456789abcdef\n')}`;
    const withToken = await start({ admin: { listen: '127.0.0.1:0', token } });
    const authority = await newAuthority('operators');
    const own = await newCertificate(undefined, {
      commonName: 'signer.example',
      usage: 'serverAuth',
      altNames: [{ type: 7, ip: '127.0.0.1' }],
    });
    const tls = {
      cert: folder.write('own.pem', own.cert),
      key: folder.write('own-key.pem', own.key),
      clientCa: folder.write('operators.pem', authority.cert),
    };
    const withTls = await start({ admin: { listen: '127.0.0.1:0', tls } });
    for (const path of guarded) {
      expect((await ask(withToken.adminUrl, path)).status, path).toBe(401);
      expect((await ask(withTls.adminUrl, path, { ca: own.cert })).status, path).toBe(403);
    }
  });

  it('while the signer starts, and when what it tells of can’t be told', async () => {
    const metrics = createMetrics();
    const starting = await open({
      status: () => Promise.resolve(mergeStatuses([], 1, 1_000)),
      metrics: async (format) => renderMetrics([await metrics.json()], format),
    });
    const probes = ['/readyz', '/ethAddr', '/EthChainID', '/senderInfo'];
    for (const path of probes) expect((await ask(starting, path)).status, path).toBe(503);
    expect((await ask(starting, '/status')).status).toBe(200);

    const defect = () => Promise.reject(new TypeError('a defect'));
    const broken = await open({ status: defect, metrics: defect });
    for (const path of [...probes, '/', '/status', '/metrics']) {
      expect((await ask(broken, path)).status, path).toBe(500);
    }
  });

  it('when more pages are open than it tells of changes', async () => {
    const { adminUrl } = await start();
    const leave = new AbortController();
    const pages = await Promise.all(
      Array.from({ length: 16 }, () => fetch(`${adminUrl}/events`, { signal: leave.signal })),
    );
    expect(pages.map(({ status }) => status)).toEqual(pages.map(() => 200));
    expect((await ask(adminUrl, '/events')).status).toBe(503);
    leave.abort();
  });

  it('when too many requests are in work, among them forms that never come', async () => {
    const { adminUrl } = await start();
    const withheld = { headers: { 'Content-Length': '9' }, isBodyWithheld: true };
    const held = Array.from({ length: 64 }, (_, index) =>
      ask(adminUrl, orders[index % 2] ?? '', withheld),
    );
    await soon(async () => expect((await ask(adminUrl, '/status')).status).toBe(503));
    for (const path of guarded) {
      const { status, headers } = await ask(adminUrl, path);
      expect({ path, status, retryAfter: headers['retry-after'] }).toEqual({
        path,
        status: 503,
        retryAfter: '1',
      });
    }
    for (const answer of held) expect((await answer).status).toBe(408);
  });

  it('and the document has no path, method, status, header, media type or code that none of them had', () => {
    expect(recorder.seen).toEqual(recorder.documented);
  });
});
