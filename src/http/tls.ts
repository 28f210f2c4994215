import { X509Certificate, constants, createPrivateKey } from 'node:crypto';
import type https from 'node:https';
import type { Socket } from 'node:net';
import { TLSSocket, type TlsOptions, createSecureContext } from 'node:tls';
import { type ClientCertificate, describeCertificate } from '../auth/client-certificate.ts';
import { readAll } from '../read-all.ts';
import { ConfigError } from '../errors.ts';
import { describeReadFailure, readPlainFile } from '../files/plain-file.ts';

/** Absolute paths of PEM files. */
export type TlsFiles = {
  /** how messages name them: `server.tls` */
  readonly setting: string;
  /** the server's certificate, followed by its chain */
  readonly cert: string;
  readonly key: string;
  /** the CA certificates for clients; without them clients are not asked for a certificate */
  readonly clientCa: string | undefined;
};

/** Reads the TLS options of the server. Throws `CONFIG_INVALID` when a file can't be read or used. */
export function readTlsFiles(files: TlsFiles): TlsOptions {
  const { clientCa } = files;
  const { pair, clients } = readAll({
    pair: () => readCertificate(files),
    clients: () => (clientCa === undefined ? {} : askForCertificate(files, clientCa)),
  });
  return { ...pair, ...clients };
}

function readCertificate(tls: TlsFiles): { cert: Buffer; key: Buffer } {
  const pair = readAll({
    cert: () => readPem(tls, 'cert', tls.cert),
    key: () => readPem(tls, 'key', tls.key),
  });
  try {
    createSecureContext(pair);
    // an EC key with an RSA certificate would be accepted, and every handshake would fail
    if (!new X509Certificate(pair.cert).checkPrivateKey(createPrivateKey(pair.key))) {
      throw new Error('they do not belong together');
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new ConfigError(
      'CONFIG_INVALID',
      `${tls.setting}: ${tls.cert} and ${tls.key} are no PEM certificate and its unencrypted key: ${reason}`,
      { cause },
    );
  }
  return pair;
}

/** Asks for a client certificate. Clients without one, or with a wrong one, still get an answer that says so. */
function askForCertificate(files: TlsFiles, path: string): TlsOptions {
  const pem = readPem(files, 'clientCa', path).toString('latin1');
  const ca = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    if (ca.length === 0) throw new Error('there is none in it');
    for (const certificate of ca) new X509Certificate(certificate);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new ConfigError(
      'CONFIG_INVALID',
      `${files.setting}.clientCa: ${path} does not hold PEM certificates: ${reason}`,
      { cause },
    );
  }
  return {
    ca,
    requestCert: true,
    rejectUnauthorized: false,
    // nobody may change identity on a connection: with TLS 1.2 a client could show another certificate later
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  };
}

/**
 * Accepts the CA that issues the clients' certificates as a trust anchor, even where it is an intermediate CA.
 * `createSecureContext` has an option for this that a server does not pass on, so it is set on the server's context directly. A
 * version of Node without it requires the whole chain.
 */
export function trustIssuingCa(server: https.Server): void {
  const { _sharedCreds: credentials } = server as {
    _sharedCreds?: { context?: { setAllowPartialTrustChain?: () => void } };
  };
  credentials?.context?.setAllowPartialTrustChain?.();
}

function readPem({ setting }: TlsFiles, field: keyof TlsFiles, path: string): Buffer {
  try {
    return readPlainFile(path);
  } catch (cause) {
    const reason = describeReadFailure(cause);
    throw new ConfigError(
      'CONFIG_INVALID',
      `${setting}.${field}: ${path} can't be read: ${reason}`,
      { cause },
    );
  }
}

const known = new WeakMap<TLSSocket, ClientCertificate>();

/** The certificate that the client has shown, verified or not; undefined without TLS, and when it has shown none. */
export function certificateOf(socket: Socket): ClientCertificate | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const earlier = known.get(socket);
  if (earlier) return earlier;
  const shown = socket.getPeerX509Certificate();
  if (!shown) return undefined;
  const problem = socket.authorized ? undefined : String(socket.authorizationError);
  const certificate = describeCertificate(shown, problem);
  known.set(socket, certificate);
  return certificate;
}
