import { parseDocument } from 'yaml';
import { ConfigError } from '../errors.ts';

/**
 * Reads one YAML document. Hashes and addresses stay text without quotes: `0x…` is no number here. Throws
 * `CONFIG_INVALID` with every problem; `source` says whose text it is.
 */
export function parseYaml(text: string, source: string): unknown {
  const document = parseDocument(text, {
    customTags: (tags) => tags.filter((tag) => typeof tag === 'string' || tag.format !== 'HEX'),
  });
  const problems = [...document.errors, ...document.warnings].map(({ code, message }) =>
    code === 'MULTIPLE_DOCS'
      ? 'a second document begins (---), where one was expected'
      : message.trimEnd(),
  );
  try {
    if (problems.length === 0) return document.toJS();
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error));
  }
  throw new ConfigError('CONFIG_INVALID', `${source} is not valid YAML: ${problems.join('\n')}`);
}
