import { hash, timingSafeEqual } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import { plainText, send } from '../http/send.ts';
import { certificateOf } from '../http/tls.ts';
import type { Secret } from '../secret.ts';

export type OperatorGuardOptions = {
  /** undefined where no token is required */
  readonly token: Secret | undefined;
  /** Whether a client certificate is required. */
  readonly demandsCertificate: boolean;
  /**
   * The fingerprint of the listener's own certificate (SHA-256, hex digits in pairs): a client that proves to have its key is
   * accepted too. undefined without TLS.
   */
  readonly ownFingerprint: () => string | undefined;
  readonly log: (level: 'warn' | 'error', message: string, fields: object) => void;
};

/** The second one makes browsers ask for the token, as the password. */
const challenges = ['Bearer', 'Basic realm="livepeer-hsm-signer", charset="UTF-8"'];

/**
 * Refuses everybody but operators: 401 without the token, as `Authorization: Bearer` or as the password of `Basic`; 403 without a
 * client certificate that a trusted CA has issued. Where neither is required, only requests to a loopback name are served (421),
 * so that no page in a browser of this machine can reach this under a name of its own.
 */
export function guardOperator(options: OperatorGuardOptions): RequestHandler {
  const { token, demandsCertificate, log } = options;
  const expected = token && hash('sha256', token.reveal(), 'buffer');

  const refuse = (request: Request, response: Response, status: number, reason: string): void => {
    if (status === 401) response.setHeader('WWW-Authenticate', challenges);
    send(response, { status, headers: plainText, body: `${reason}\n` });
    const { remoteAddress } = request.socket;
    log('warn', 'operator refused', { path: request.path, status, remoteAddress, reason });
  };

  return (request, response, next) => {
    if (demandsCertificate && !hasCertificate(request, options.ownFingerprint())) {
      refuse(request, response, 403, 'a client certificate of admin.tls.clientCa is needed');
    } else if (
      expected &&
      !timingSafeEqual(hash('sha256', presented(request), 'buffer'), expected)
    ) {
      refuse(request, response, 401, 'the token of admin.token is needed');
    } else if (!expected && !demandsCertificate && !isLoopbackName(request.headers.host)) {
      refuse(
        request,
        response,
        421,
        'without admin.token only 127.0.0.1, [::1] and localhost are served',
      );
    } else {
      next();
    }
  };
}

function hasCertificate({ socket }: Request, ownFingerprint: string | undefined): boolean {
  const certificate = certificateOf(socket);
  if (!certificate) return false;
  return certificate.problem === undefined || certificate.fingerprint === ownFingerprint;
}

/** The token that was sent; '' where nothing usable was. */
function presented({ headers }: Request): string {
  const [, scheme = '', value = ''] =
    /^(bearer|basic) +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  if (scheme.toLowerCase() === 'bearer') return value;
  const text = Buffer.from(value, 'base64').toString('utf8');
  return text.slice(text.indexOf(':') + 1);
}

function isLoopbackName(host = ''): boolean {
  const name = host.replace(/:\d+$/, '').toLowerCase();
  return name === 'localhost' || name === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(name);
}
