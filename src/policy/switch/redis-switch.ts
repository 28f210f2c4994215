import { z } from 'zod';
import { RecordsError } from '../../errors.ts';
import type { ScriptRunner } from '../../store/script-runner.ts';
import { tryParseJson } from '../../try-parse-json.ts';
import type { Pause, SwitchStore } from './signing-switch.ts';

export type RedisSwitchOptions = {
  readonly redis: ScriptRunner;
  readonly keyPrefix: string;
  /** whether payments go on by the last known state while Redis does not answer */
  readonly onFailure: 'deny' | 'allow';
  readonly log: (level: 'info' | 'warn', message: string, fields: object) => void;
};

const readScript = `return redis.call('GET', KEYS[1])`;
const writeScript = `redis.call('SET', KEYS[1], ARGV[1]) return 1`;

const valueSchema = z.union([
  z.object({ signing: z.literal(true) }),
  z.object({ by: z.string(), reason: z.string(), since: z.string() }),
]);

const unknownPause: Pause = { by: '', reason: '', since: '' };

/**
 * The switch in Redis, for all instances that share it. Each payment reads it when it begins. A pause that an instance knows of
 * is only ended by a resume, not by Redis having lost it.
 */
export function createRedisSwitch(options: RedisSwitchOptions): SwitchStore {
  const { redis, keyPrefix, onFailure, log } = options;
  const keys = [`${keyPrefix}signing`];
  let last: { readonly pause: Pause | undefined } | undefined;
  let isFailing = false;

  function take(reply: unknown): Pause | undefined {
    if (reply === null || reply === undefined) {
      last ??= { pause: undefined };
      return last.pause;
    }
    const value = valueSchema.safeParse(
      typeof reply === 'string' ? tryParseJson(reply) : undefined,
    ).data;
    // a value that can't be understood was not written by a resume, and so ends no pause
    last = { pause: value && 'signing' in value ? undefined : (value ?? unknownPause) };
    return last.pause;
  }

  function noteFailure(error: unknown): void {
    if (!isFailing) log('warn', "the switch that stops signing can't be read", describe(error));
    isFailing = true;
  }

  return {
    async read() {
      try {
        const pause = take(await redis.run(readScript, keys, []));
        isFailing = false;
        return pause;
      } catch (error) {
        noteFailure(error);
        if (last?.pause || onFailure === 'allow') return last?.pause;
        throw unavailable('read', error);
      }
    },
    known() {
      if (last ?? onFailure === 'allow') return last?.pause;
      throw unavailable('read', new Error('it was not asked yet'));
    },
    async write(pause) {
      const value = JSON.stringify(pause ?? { signing: true });
      try {
        await redis.run(writeScript, keys, [value]);
      } catch (error) {
        throw unavailable('written', error);
      }
      last = { pause };
    },
  };
}

function describe(error: unknown): { reason: string } {
  return { reason: error instanceof Error ? error.message : 'unknown' };
}

function unavailable(verb: 'read' | 'written', cause: unknown): RecordsError {
  return new RecordsError(
    'SIGNING_SWITCH_UNAVAILABLE',
    `the switch that stops signing can't be ${verb}: ${describe(cause).reason}`,
    { retryable: true, cause },
  );
}
