import type { Config } from '../config/load.ts';
import { ConfigError } from '../errors.ts';
import type { LedgerArchive } from '../policy/limits/ledger-archive.ts';
import type { Logger } from '../telemetry/logger.ts';
import { type RedisSettings, keyPrefixOf, readRedisOptions } from './redis-options.ts';

/** Opens the configured ledger, to be read or filled as a whole. Throws `CONFIG_INVALID` and `SECRET_UNREADABLE`. */
export async function openArchive(
  { settings: { store }, resolvePath }: Config,
  logger: Logger,
): Promise<LedgerArchive> {
  if (store.kind === 'redis') return openRedis(store, resolvePath, logger);
  if (store.path === undefined) {
    throw new ConfigError('CONFIG_INVALID', 'store.path: missing, so there is no spend ledger');
  }
  const { openFileArchive } = await import('../policy/limits/embedded/file-archive.ts');
  return openFileArchive(resolvePath(store.path));
}

async function openRedis(
  store: RedisSettings,
  resolvePath: Config['resolvePath'],
  logger: Logger,
): Promise<LedgerArchive> {
  const [{ connectRedis }, { openRedisArchive }] = await Promise.all([
    import('../store/redis.ts'),
    import('../policy/limits/redis/redis-archive.ts'),
  ]);
  const redis = await connectRedis({
    ...readRedisOptions(store, resolvePath),
    log: (level, message, fields = {}) => logger[level](fields, message),
  });
  const archive = openRedisArchive({ redis, keyPrefix: keyPrefixOf(store) });
  return { ...archive, close: () => redis.close() };
}
