import { posix } from 'node:path';
import type { RequestHandler } from 'express';

const usual = /^\/[a-z-]*$/;

/**
 * Serves directly what Go's mux would redirect to: the path decoded, without `.`, `..` and empty parts. A `//` comes from clients
 * that append a path to a URL that ends with a slash.
 */
export const cleanPath: RequestHandler = (request, _response, next) => {
  if (!usual.test(request.url)) {
    const [, path = '', query = ''] =
      /^(?:https?:\/\/[^/?]*)?([^?]*)(\?.*)?$/is.exec(request.url) ?? [];
    const clean = posix.normalize(`/${decode(path)}`);
    request.url = encodeURI(clean).replace(/[?#]/g, encodeURIComponent) + query;
  }
  next();
};

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
