import type { Config } from '../config/load.ts';
import { ConfigError } from '../errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import { failOpen } from '../policy/limits/fail-open.ts';
import type { SpendLedger } from '../policy/limits/ledger.ts';
import { createRedisSwitch } from '../policy/switch/redis-switch.ts';
import {
  type SigningPermit,
  type SwitchStore,
  alwaysPermitted,
  createSigningPermit,
} from '../policy/switch/signing-switch.ts';
import { openSwitchFile } from '../policy/switch/switch-file.ts';
import type { AnswerMemory } from '../session/answer-memory.ts';
import { failOpenAnswers } from '../session/fail-open-answers.ts';
import { type RedisSettings, keyPrefixOf, readRedisOptions } from './redis-options.ts';

/** The places where answers and spending are remembered. */
export type Store = {
  readonly answers: AnswerMemory;
  /** Throws `LEDGER_UNAVAILABLE`. */
  openLedger(): Promise<SpendLedger>;
  /** the switch that stops signing; undefined where no folder and no Redis is configured to keep it */
  readonly signingSwitch: SwitchStore | undefined;
  readonly signingPermit: SigningPermit;
  close(): Promise<void>;
};

type Log = (level: 'info' | 'warn' | 'error', message: string, fields?: object) => void;

/** Opens the configured store; one in Redis is usable whenever Redis is. Throws `CONFIG_INVALID` and `SECRET_UNREADABLE`. */
export async function openStore(
  { settings: { store, server, audit }, resolvePath }: Config,
  logger: Logger,
): Promise<Store> {
  const { requestDeadlineMs } = server;
  const log: Log = (level, message, fields = {}) => logger[level](fields, message);
  const ttlMs = store.answersTtlMs;
  if (store.kind === 'embedded') {
    const { createMemoryAnswers } = await import('../session/memory-answers.ts');
    const { path } = store;
    const folder = audit?.path ?? path;
    const signingSwitch = folder === undefined ? undefined : openSwitchFile(resolvePath(folder));
    return {
      answers: createMemoryAnswers({
        ttlMs,
        maxBytes: store.answersMaxBytes,
        nowMs: () => performance.now(),
      }),
      openLedger: async () => {
        if (path === undefined) throw new ConfigError('CONFIG_INVALID', 'store.path is missing');
        const { openEmbeddedLedger } = await import('../policy/limits/embedded/embedded-ledger.ts');
        return openEmbeddedLedger({ folder: resolvePath(path), log });
      },
      signingSwitch,
      signingPermit: signingSwitch ? createSigningPermit(signingSwitch) : alwaysPermitted,
      close: () => Promise.resolve(),
    };
  }
  return openRedisStore(store, requestDeadlineMs, resolvePath, log);
}

async function openRedisStore(
  store: RedisSettings,
  requestDeadlineMs: number,
  resolvePath: Config['resolvePath'],
  log: Log,
): Promise<Store> {
  const [{ connectRedis }, { createRedisLedger }, { createRedisAnswers }] = await Promise.all([
    import('../store/redis.ts'),
    import('../policy/limits/redis/redis-ledger.ts'),
    import('../session/redis-answers.ts'),
  ]);
  const { answersTtlMs: ttlMs, answersMaxBytes: maxBytes, onFailure } = store;
  const keyPrefix = keyPrefixOf(store);
  const redis = await connectRedis({ ...readRedisOptions(store, resolvePath), log });
  const answers = createRedisAnswers({ redis, keyPrefix, ttlMs, maxBytes, requestDeadlineMs });
  const ledger = createRedisLedger({ redis, keyPrefix });
  const signingSwitch = createRedisSwitch({ redis, keyPrefix, onFailure, log });
  return {
    answers: onFailure === 'allow' ? failOpenAnswers(answers, log) : answers,
    openLedger: () => Promise.resolve(onFailure === 'allow' ? failOpen(ledger, log) : ledger),
    signingSwitch,
    signingPermit: createSigningPermit(signingSwitch),
    close: () => redis.close(),
  };
}
