import { ConfigError, type SignerError, isSignerError } from './errors.ts';

/**
 * Runs several readers that don't depend on each other, so that an error of one does not hide the errors of the others. Where one
 * alone fails, its error is thrown as it is; where several do, `CONFIG_INVALID` with one line for each.
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
