import type { Request, RequestHandler, Response, Router } from 'express';
import { refuseMethod } from '../http/refuse-method.ts';
import { type Answer, send } from '../http/send.ts';

/** Serves the result of `answer` at GET and HEAD of the path; other methods get 405. */
export function mountRead(
  router: Router,
  path: string,
  answer: (request: Request, response: Response) => Promise<Answer> | Answer,
): void {
  const handler: RequestHandler = async (request, response) => {
    send(response, await answer(request, response));
  };
  router.route(path).get(handler).all(refuseMethod('GET, HEAD'));
}
