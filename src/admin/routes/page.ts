import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Request, RequestHandler, Router } from 'express';
import { isSignerError } from '../../errors.ts';
import { readBody } from '../../http/read-body.ts';
import { refuseMethod } from '../../http/refuse-method.ts';
import { startDeadline } from '../../http/request-context.ts';
import { plainText, send } from '../../http/send.ts';
import { certificateOf } from '../../http/tls.ts';
import { mountRead } from '../mount-read.ts';
import type { Page } from '../page/page.ts';
import type { PageSource } from '../page/page-source.ts';
import { script } from '../page/script.ts';
import { styleSheet } from '../page/style.ts';

const contentPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const pageHeaders = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Security-Policy': contentPolicy,
  // with `no-referrer`, a browser would not say where its forms come from
  'Referrer-Policy': 'same-origin',
  'X-Frame-Options': 'DENY',
};

const assets: Readonly<
  Record<string, { readonly type: string; readonly read: () => Promise<string> | string }>
> = {
  '/page.css': { type: 'text/css', read: () => styleSheet },
  '/page.js': { type: 'text/javascript', read: () => script },
  '/uplot.css': { type: 'text/css', read: () => readPackaged('uplot/dist/uPlot.min.css') },
  '/uplot.js': {
    type: 'text/javascript',
    read: () => readPackaged('uplot/dist/uPlot.iife.min.js'),
  },
};

function readPackaged(path: string): Promise<string> {
  return readFile(createRequire(import.meta.url).resolve(path), 'utf8');
}

const maxFormBytes = 4_096;
const formDeadlineMs = 5_000;

/** How the last order ended, for the page that follows it. */
const notices: Readonly<Record<string, string>> = {
  paused: 'Signing is stopped, from the next payment on.',
  resumed: 'The key signs again.',
};

/** `/`: the operator's page, the files that it needs, and its switch that stops all signing. */
export function mountPage(
  router: Router,
  page: Page,
  source: Pick<PageSource, 'pause' | 'resume'>,
): void {
  mountRead(router, '/', async ({ query }) => {
    const { done } = query;
    const notice = typeof done === 'string' ? notices[done] : undefined;
    return { status: 200, headers: pageHeaders, body: await page.render(notice) };
  });
  for (const [path, { type, read }] of Object.entries(assets)) {
    mountRead(router, path, async () => ({
      status: 200,
      headers: { 'Content-Type': `${type}; charset=utf-8` },
      body: await read(),
    }));
  }
  router
    .route('/events')
    .get((request, response) => {
      if (request.method !== 'HEAD' && page.listen(response)) return;
      const isFull = request.method !== 'HEAD';
      if (isFull) response.setHeader('Retry-After', '10');
      send(response, {
        status: isFull ? 503 : 200,
        headers: plainText,
        body: isFull ? 'too many pages are open\n' : '',
      });
    })
    .all(refuseMethod('GET, HEAD'));
  const form = readBody(maxFormBytes);
  const mountOrder = (path: string, order: (request: Request) => Promise<string>): void => {
    router
      .route(path)
      .post(refuseOtherSites, startDeadline(formDeadlineMs), form, carryOut(order))
      .all(refuseMethod('POST'));
  };
  mountOrder('/pause', async (request) => {
    await source.pause({ by: nameOperator(request), reason: field(request, 'reason') });
    return 'paused';
  });
  mountOrder('/resume', async (request) => {
    await source.resume({ by: nameOperator(request) });
    return 'resumed';
  });
}

/** Carries out an order that was confirmed, and leads back to the page. */
function carryOut(order: (request: Request) => Promise<string>): RequestHandler {
  return async (request, response) => {
    if (field(request, 'confirm') !== 'yes') {
      send(response, {
        status: 400,
        headers: plainText,
        body: 'not confirmed: send confirm=yes\n',
      });
      return;
    }
    try {
      response.setHeader('Location', `/?done=${await order(request)}`);
      send(response, { status: 303, headers: plainText, body: '' });
    } catch (error) {
      if (!isSignerError(error)) throw error;
      const { code, message } = error;
      send(response, { status: 503, headers: plainText, body: `${code}: ${message}\n` });
    }
  };
}

/** A browser says from which site a form comes; only forms of this site are obeyed. Clients that are not browsers say nothing. */
const refuseOtherSites: RequestHandler = (request, response, next) => {
  const { origin, host, 'sec-fetch-site': site } = request.headers;
  const isOwn = origin === undefined || (URL.canParse(origin) && new URL(origin).host === host);
  if (isOwn && (site === undefined || site === 'same-origin')) {
    next();
    return;
  }
  send(response, { status: 403, headers: plainText, body: 'this form was sent by another site\n' });
};

/** A field of a form as browsers send it; '' where it is absent. */
function field({ body }: Request, name: string): string {
  return new URLSearchParams((body as Buffer).toString()).get(name) ?? '';
}

/** The operator's name for the audit log. */
function nameOperator({ socket }: Request): string {
  const subject = certificateOf(socket)?.subject;
  return `operator's page, ${subject ?? socket.remoteAddress ?? 'unknown'}`;
}
