import { type Logger, pino } from 'pino';
import { formatLogLine } from './format-log-line.ts';
import { createLineWriter } from './line-writer.ts';

export type { Logger };

/**
 * Creates the logger. It writes to standard error, so that standard output stays free for people: JSON lines, or readable lines
 * on a terminal. Each line names the worker, where there are several.
 */
export function createLogger(level: string, worker?: number): Logger {
  const options = {
    level,
    base: worker === undefined ? null : { worker },
    timestamp: pino.stdTimeFunctions.isoTime,
  };
  const { stderr, env } = process;
  if (!stderr.isTTY) {
    const writer = createLineWriter(2, (lines) => logger.warn({ lines }, 'log lines were lost'));
    const logger: Logger = pino(options, writer);
    return logger;
  }
  const { NO_COLOR: noColour = '' } = env;
  const write = (line: string): void =>
    void stderr.write(`${formatLogLine(line, noColour === '')}\n`);
  return pino(options, { write });
}
