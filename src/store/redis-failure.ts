import { ConfigError } from '../errors.ts';
import { nameOf } from '../foreign-error.ts';

/** In this program's own words. */
export class RedisFailure extends Error {}

/** A script ran, and not as many have its writes as should: `reply` is what it returned, for whoever wants to undo it. */
export class NotAcknowledged extends RedisFailure {
  readonly reply: unknown;

  constructor(message: string, reply: unknown) {
    super(message);
    this.reply = reply;
  }
}

/** Redis lets in, and may not be used as it is. */
export class UnfitRedis extends ConfigError {
  /** what it says of itself, such as `it evicts` */
  readonly reason: string;

  constructor(reason: string, message: string) {
    super('CONFIG_INVALID', message);
    this.reason = reason;
  }
}

/**
 * Of an answer of Redis only the code at its beginning is told, of other errors their code: some repeat the command, and with it
 * the password (`unknown command 'AUTH', with args beginning with …`).
 */
export function describeFailure(error: unknown): RedisFailure {
  if (error instanceof RedisFailure) return error;
  if (error instanceof UnfitRedis) return new RedisFailure(`Redis answered that ${error.reason}`);
  const { message, code } = error as NodeJS.ErrnoException;
  const answered = code === undefined ? /^[A-Z]{3,}(?= |$)/.exec(message)?.[0] : undefined;
  return new RedisFailure(
    answered === undefined ? `it failed with ${nameOf(error)}` : `Redis answered ${answered}`,
  );
}

/** Whether it is an answer of Redis that begins so. */
export function startsWith(error: unknown, code: string): boolean {
  return error instanceof Error && error.message.startsWith(code);
}
