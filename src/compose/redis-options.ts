import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { Config } from '../config/load.ts';
import { readAll } from '../read-all.ts';
import { readTextFile } from '../config/read-text-file.ts';
import { readRedisUrl } from '../config/secret-urls.ts';
import { readSecret } from '../config/secrets.ts';
import { ConfigError } from '../errors.ts';
import type { Secret } from '../secret.ts';
import type { RedisAccess } from '../store/redis.ts';
import type { RedisLogin, RedisTls } from '../store/redis-client.ts';

export type RedisSettings = Extract<Config['settings']['store'], { kind: 'redis' }>;

/** Redis takes what is between the first brace and the next closing one, and the whole key where nothing is between them. */
const hashTag = /^[^{]*\{[^}]+\}/;

/** The prefix of a store's keys. In a cluster all of them must be in one slot, so a prefix without a hash tag is made one. */
export function keyPrefixOf({
  keyPrefix,
  cluster,
}: Pick<RedisSettings, 'keyPrefix' | 'cluster'>): string {
  if (!cluster || hashTag.test(keyPrefix)) return keyPrefix;
  const tagged = `{${keyPrefix}}`;
  return hashTag.test(tagged) ? tagged : `{:}${keyPrefix}`;
}

/** The options to reach a store, with its secrets read. Throws `CONFIG_INVALID` and `SECRET_UNREADABLE`. */
export function readRedisOptions(
  store: RedisSettings,
  resolvePath: Config['resolvePath'],
): RedisAccess {
  const { url, sentinel, cluster, tls, acknowledge } = store;
  const readTls = tls && (() => readTlsFiles(tls, resolvePath));
  const { login, sentinelLogin, location } = readAll({
    login: () => readLogin(store, resolvePath, 'store.password'),
    sentinelLogin: () => sentinel && readLogin(sentinel, resolvePath, 'store.sentinel.password'),
    location: () => (url === undefined ? undefined : readLocation(url, tls, resolvePath)),
    tls: () => readTls?.(),
  });
  const access = { login, readTls, acknowledge };
  if (sentinel) {
    const { master, nodes } = sentinel;
    return { ...access, sentinel: { master, nodes, login: sentinelLogin } };
  }
  if (cluster) {
    return { ...access, cluster: { nodes: cluster.nodes, keyPrefix: keyPrefixOf(store) } };
  }
  return { ...access, url: location ?? '' };
}

function readLocation(
  url: string,
  tls: RedisSettings['tls'],
  resolvePath: Config['resolvePath'],
): Secret | string {
  const location = readRedisUrl(url, resolvePath);
  const text = typeof location === 'string' ? location : location.reveal();
  if (!tls || text.startsWith('rediss:')) return location;
  throw new ConfigError('CONFIG_INVALID', 'store.tls: needs a URL that begins with rediss://');
}

function readLogin(
  { username, password }: Pick<RedisSettings, 'username' | 'password'>,
  resolvePath: Config['resolvePath'],
  setting: string,
): RedisLogin | undefined {
  if (password === undefined) return undefined;
  const options = { setting, resolvePath, createMissingFiles: false };
  return { username, password: readSecret(password, options) };
}

type TlsPaths = NonNullable<RedisSettings['tls']>;

function readTlsFiles(
  { ca, cert, key, serverName }: TlsPaths,
  resolvePath: Config['resolvePath'],
): RedisTls {
  const read = (field: string, path: string | undefined): string | undefined =>
    path === undefined
      ? undefined
      : readTextFile(resolvePath(path), `store.tls.${field}: certificate file`);
  const files = readAll({
    ca: () => read('ca', ca),
    cert: () => read('cert', cert),
    key: () => read('key', key),
  });
  try {
    if (files.ca !== undefined) requireCertificates(files.ca);
    createSecureContext(files);
    if (files.cert !== undefined && files.key !== undefined) {
      const isPair = new X509Certificate(files.cert).checkPrivateKey(createPrivateKey(files.key));
      if (!isPair) throw new Error('cert and key do not belong together');
    }
  } catch (cause) {
    throw new ConfigError(
      'CONFIG_INVALID',
      'store.tls: ca, cert and key are not what they should be: certificates, and the unencrypted key of cert, in PEM',
      { cause },
    );
  }
  return { ...files, serverName };
}

/** Throws where a text holds no certificate: it would be taken for a CA that vouches for nobody. */
function requireCertificates(pem: string): void {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (found.length === 0) throw new Error('there is no certificate in ca');
  for (const certificate of found) new X509Certificate(certificate);
}
