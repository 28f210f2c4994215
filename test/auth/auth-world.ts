import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { SecureContextOptions } from 'node:tls';
import { stringify } from 'yaml';
import { Folder } from '../cli/cli.ts';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { type Certificate, newAuthority, newCertificate } from './certificates.ts';
import {
  type Claims,
  type IssuerKey,
  JwksServer,
  newIssuerKey,
  publicJwk,
  signToken,
} from './jwks-server.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('API keys');

export const audience = 'https://signer.example';
export const issuer = 'https://issuer.example';

export type KeyEntry = {
  readonly principal: string;
  readonly tenant?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly expires?: string;
  readonly revoked?: boolean;
};

/** API keys, and the file with their hashes. */
export class KeyFile {
  readonly path: string;
  readonly #entries = new Map<string, KeyEntry & { readonly hash: string }>();

  constructor(folder: Folder) {
    this.path = folder.write('api-keys.yaml', '[]\n');
  }

  add(entry: KeyEntry): string {
    const id = random.hex(6);
    const key = `lhs_${id}_${Buffer.from(random.bytes(32)).toString('base64url')}`;
    this.#entries.set(id, { ...entry, hash: createHash('sha256').update(key).digest('hex') });
    this.#write();
    return key;
  }

  revoke(key: string): void {
    const id = key.split('_')[1] ?? '';
    const entry = this.#entries.get(id);
    if (!entry) throw new Error(`no key ${id}`);
    this.#entries.set(id, { ...entry, revoked: true });
    this.#write();
  }

  #write(): void {
    const list = [...this.#entries].map(([id, entry]) => ({ id, ...entry }));
    writeFileSync(this.path, stringify(list));
  }

  /** Breaks the file off in the middle. */
  truncate(): void {
    const text = readFileSync(this.path, 'utf8');
    writeFileSync(this.path, text.slice(0, -40));
  }

  restore(): void {
    this.#write();
  }
}

/** Claims of a token that counts, and changes to them; undefined takes one away. */
export function claimsWith(changes: Claims = {}): Claims {
  const now = Math.floor(Date.now() / 1000);
  const scope = 'read pay';
  return { iss: issuer, aud: audience, sub: 'gateway-7', exp: now + 300, scope, ...changes };
}

/** A signer that takes API keys, tokens and client certificates, and everything to make right and wrong ones with. */
export class AuthWorld implements AsyncDisposable {
  readonly folder = new Folder();
  readonly keyFile = new KeyFile(this.folder);
  readonly jwks = new JwksServer();
  readonly issuerKeys = {
    rsa: newIssuerKey('rsa', 'RS256'),
    p256: newIssuerKey('p256', 'ES256'),
    ed25519: newIssuerKey('ed25519', 'EdDSA'),
    k256: newIssuerKey('k256', 'ES256K'),
  };
  signer!: TestSigner;
  authority!: Certificate;
  #server!: Certificate;

  static async start(): Promise<AuthWorld> {
    const world = new AuthWorld();
    world.authority = await newAuthority('clients of the signer');
    world.#server = await newCertificate(world.authority, {
      commonName: 'signer',
      usage: 'serverAuth',
      altNames: [{ type: 7, ip: '127.0.0.1' }],
    });
    const { folder, keyFile, jwks, issuerKeys } = world;
    await jwks.start();
    jwks.publish(...Object.values(issuerKeys));
    world.signer = await startTestSigner({
      settings: {
        server: {
          listen: '127.0.0.1:0',
          tls: {
            cert: folder.write('server.pem', world.#server.cert),
            key: folder.write('server-key.pem', world.#server.key),
            clientCa: folder.write('clients.pem', world.authority.cert),
          },
        },
        auth: {
          apiKeys: { file: keyFile.path },
          jwt: [
            {
              issuer,
              audience,
              jwksUrl: jwks.url,
              requiredScopes: ['pay'],
              tenantClaim: 'org',
            },
          ],
          mtls: [
            { san: 'URI:spiffe://acme/gateway', principal: 'spiffe-gateway', tenant: 'acme' },
            { san: 'DNS:gw.acme.example', principal: 'dns-gateway' },
            { subject: 'CN=gw-1,O=Acme Inc', principal: 'subject-gateway' },
          ],
        },
      },
    });
    return world;
  }

  /** A token of the issuer that has what is asked for, but for the changes. */
  token(changes: Claims = {}, key: IssuerKey = this.issuerKeys.p256): string {
    return signToken(key, claimsWith({ org: 'globex', ...changes }));
  }

  jwkOf(key: IssuerKey): Record<string, unknown> {
    return publicJwk(key);
  }

  /** What a client is to trust, and to show. */
  tls(shown?: Certificate): SecureContextOptions {
    return { ca: this.authority.cert, ...shown };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.signer.close();
    await this.jwks.stop();
    this.folder[Symbol.dispose]();
  }
}
