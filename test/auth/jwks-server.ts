import {
  type KeyObject,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  sign as signBytes,
} from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

/** A key of a token issuer. */
export type IssuerKey = {
  readonly kid: string;
  readonly alg: 'RS256' | 'ES256' | 'ES256K' | 'EdDSA';
  readonly privateKey: KeyObject;
};

export function newIssuerKey(kid: string, alg: IssuerKey['alg']): IssuerKey {
  return { kid, alg, privateKey: generatePrivateKey(alg) };
}

function generatePrivateKey(alg: IssuerKey['alg']): KeyObject {
  switch (alg) {
    case 'RS256':
      return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    case 'ES256K':
      return generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey;
    case 'EdDSA':
      return generateKeyPairSync('ed25519').privateKey;
  }
}

export function publicPem({ privateKey }: IssuerKey): string {
  return createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }) as string;
}

export function publicJwk({ kid, alg, privateKey }: IssuerKey): Record<string, unknown> {
  const jwk = createPublicKey(privateKey).export({ format: 'jwk' });
  return { ...jwk, kid, alg, use: 'sig' };
}

export type Claims = Record<string, unknown>;

function encode(part: unknown): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}

/** A token of these parts; `signature` makes the bytes of its third part. */
export function composeToken(
  header: Claims,
  claims: Claims,
  signature: (signed: Buffer) => Buffer,
): string {
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${signature(Buffer.from(signed)).toString('base64url')}`;
}

/** A token signed with an issuer's key, made without the library that the signer reads it with. */
export function signToken(key: IssuerKey, claims: Claims, header: Claims = {}): string {
  const { alg, kid, privateKey } = key;
  return composeToken({ alg, kid, typ: 'JWT', ...header }, claims, (signed) =>
    signBytes(alg === 'EdDSA' ? null : 'sha256', signed, {
      key: privateKey,
      dsaEncoding: 'ieee-p1363',
    }),
  );
}

/** A token with a symmetric signature. */
export function hmacToken(secret: string, claims: Claims, kid: string): string {
  return composeToken({ alg: 'HS256', kid, typ: 'JWT' }, claims, (signed) =>
    createHmac('sha256', secret).update(signed).digest(),
  );
}

/** Where a token issuer publishes its keys. */
export class JwksServer {
  /** what it answers with; undefined to keep whoever asks waiting */
  answer: { status: number; body: string } | undefined;
  /** how often it was asked */
  asked = 0;
  #server: http.Server | undefined;
  #port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.#port}/keys`;
  }

  publish(...keys: readonly IssuerKey[]): void {
    this.answer = { status: 200, body: JSON.stringify({ keys: keys.map(publicJwk) }) };
  }

  /** Listens on the port it had before, if it had one. */
  async start(): Promise<void> {
    const server = http.createServer((_request, response) => {
      this.asked += 1;
      if (!this.answer) return;
      response.writeHead(this.answer.status, { 'Content-Type': 'application/json' });
      response.end(this.answer.body);
    });
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }
}
