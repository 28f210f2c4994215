import { ConfigError } from '../errors.ts';
import { nameOf } from '../foreign-error.ts';

/** A failure of Redis or of the connection to it; the message is this program's own and holds no secret. */
export class RedisFailure extends Error {}

/** A script ran, but fewer servers have its writes than should: `reply` is what it returned, so that the caller can undo it. */
export class NotAcknowledged extends RedisFailure {
  readonly reply: unknown;

  constructor(message: string, reply: unknown) {
    super(message);
    this.reply = reply;
  }
}

/** Redis accepts the connection, but may not be used as it is configured. */
export class UnfitRedis extends ConfigError {
  /** what is wrong with it, as a clause about the server, such as `it evicts` */
  readonly reason: string;

  constructor(reason: string, message: string) {
    super('CONFIG_INVALID', message);
    this.reason = reason;
  }
}

/** What is for the operator to mend, and Redis tells in words alone. */
const complaints = [
  [/^ERR The user executing the script can't/, 'NOPERM to a command or key of a script'],
  [/^ERR DB index is out of range/, 'ERR: it has no database of the number in store.url'],
  [
    /^ERR AUTH <password> called without any password/,
    'ERR: it has no password, and one is configured',
  ],
] as const;

/**
 * Describes an error without its message. Of an answer of Redis only the code at its beginning is told, or what a known complaint means, of any
 * other error its code: some messages repeat the command, and with it the password (`unknown command 'AUTH', with args beginning with …`).
 */
export function describeFailure(error: unknown): RedisFailure {
  if (error instanceof RedisFailure) return error;
  if (error instanceof UnfitRedis) return new RedisFailure(`Redis answered that ${error.reason}`);
  const { message, code } = error as NodeJS.ErrnoException;
  const [, complaint] = complaints.find(([pattern]) => pattern.test(message)) ?? [];
  const answered =
    complaint ?? (code === undefined ? /^[A-Z]{3,}(?= |$)/.exec(message)?.[0] : undefined);
  return new RedisFailure(
    answered === undefined ? `it failed with ${nameOf(error)}` : `Redis answered ${answered}`,
  );
}

/** Whether the error is an answer of Redis that begins with this code. */
export function startsWith(error: unknown, code: string): boolean {
  return error instanceof Error && error.message.startsWith(code);
}
