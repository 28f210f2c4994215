import express, { type ErrorRequestHandler } from 'express';
import { nameOf } from '../foreign-error.ts';
import { cleanPath } from '../http/clean-path.ts';
import { answerError } from '../http/error-answer.ts';
import { refuseOverload } from '../http/overload-guard.ts';
import { identifyRequest } from '../http/request-context.ts';
import { plainText, send } from '../http/send.ts';
import type { Page } from './page/page.ts';
import type { PageSource } from './page/page-source.ts';
import { type OperatorGuardOptions, guardOperator } from './operator-guard.ts';
import { mountDocuments } from './routes/documents.ts';
import { mountHealthz } from './routes/healthz.ts';
import { mountMetrics } from './routes/metrics.ts';
import { mountNodeProbes } from './routes/node-probes.ts';
import { mountPage } from './routes/page.ts';
import { mountReadyz } from './routes/readyz.ts';
import { mountStatus } from './routes/status.ts';

export type AdminAppOptions = OperatorGuardOptions & {
  readonly source: PageSource;
  readonly page: Page;
  /** the descriptions of the program's interfaces, JSON, by path */
  readonly documents: Readonly<Record<string, object>>;
};

/** Operators' requests are few; each must be answered within this time. */
const limits = { requestDeadlineMs: 10_000, maxRequestsInWork: 64 };

/**
 * The operator's HTTP application: health, readiness, metrics, status and the page. Each route has a file of its own in
 * `routes/`; here they are mounted. All but `/healthz` require the operator's credentials, where any are configured.
 */
export function createAdminApp(options: AdminAppOptions): express.Express {
  const { source, page, log } = options;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('strict routing');
  app.enable('case sensitive routing');

  app.use(identifyRequest);
  app.use(cleanPath);
  app.use((_request, response, next) => {
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    next();
  });
  mountHealthz(app);
  app.use(guardOperator(options));
  app.use(refuseOverload(limits));
  mountReadyz(app, source);
  mountMetrics(app, source);
  mountStatus(app, source);
  mountNodeProbes(app, source);
  mountDocuments(app, options.documents);
  mountPage(app, page, source);
  app.use((_request, response) =>
    send(response, { status: 404, headers: plainText, body: '404 page not found\n' }),
  );

  const handleError: ErrorRequestHandler = (error: unknown, request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const answer = answerError(error);
    send(response, answer);
    const { status } = answer;
    log('error', 'admin request failed', { path: request.path, status, error: nameOf(error) });
  };
  app.use(handleError);
  return app;
}
