import { ConfigError, type SignerError, isSignerError } from './errors.ts';

/**
 * Reads several things that don't depend on each other, so that what is wrong with one does not hide what is wrong with the
 * next. Throws the error of a reader as it is where one alone fails, and `CONFIG_INVALID` with a line of each otherwise.
 */
export function readAll<Values extends object>(readers: {
  readonly [Name in keyof Values]: () => Values[Name];
}): Values {
  const failures: SignerError[] = [];
  const values = Object.entries<() => unknown>(readers).map(([name, read]) => {
    try {
      return [name, read()];
    } catch (error) {
      if (!isSignerError(error)) throw error;
      failures.push(error);
      return [name, undefined];
    }
  });
  const [first, ...others] = failures;
  if (!first) return Object.fromEntries(values) as Values;
  if (others.length === 0) throw first;
  throw new ConfigError('CONFIG_INVALID', failures.map(({ message }) => message).join('\n'), {
    cause: first,
  });
}
