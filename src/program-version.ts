import { createRequire, findPackageJSON } from 'node:module';
import { InternalError } from './errors.ts';

/** The version of package.json, such as `0.1.0`. */
export function programVersion(): string {
  const manifest = findPackageJSON(import.meta.url);
  if (manifest === undefined) {
    throw new InternalError('INTERNAL', 'package.json is missing: install the program again');
  }
  return (createRequire(import.meta.url)(manifest) as { version: string }).version;
}
