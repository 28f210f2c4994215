import { type Document, type ErrorCode, LineCounter, isScalar, parseDocument, visit } from 'yaml';
import { ConfigError } from '../errors.ts';
import { listProblems } from './list-problems.ts';

/**
 * Descriptions of problems, by the parser's code. The parser's own messages quote the text, which may hold a secret: many a file
 * is malformed because a key was pasted into the wrong place.
 */
const problemOfCode: Readonly<Record<ErrorCode, string>> = {
  ALIAS_PROPS: 'an alias (*) has an anchor or a tag of its own',
  BAD_ALIAS: 'an alias (*) has no name that an anchor (&) gave before',
  BAD_DIRECTIVE: 'a line begins with % and is no directive',
  BAD_DQ_ESCAPE: 'text in double quotes has a backslash with something unknown after it',
  BAD_INDENT: 'the indentation does not fit the lines before',
  BAD_PROP_ORDER: 'an anchor or a tag is in the wrong place',
  BAD_SCALAR_START:
    'text begins with a character that needs quotes: one of @ ` , [ ] { } # & * ! | > % "',
  BLOCK_AS_IMPLICIT_KEY: 'a field begins on a line that has another one already',
  BLOCK_IN_FLOW: 'a list or fields on lines of their own are within [ ] or { }',
  DUPLICATE_KEY: 'a field is given twice',
  IMPOSSIBLE: 'it is malformed',
  KEY_OVER_1024_CHARS: 'the name of a field has over 1024 characters, or a colon is missing',
  MISSING_CHAR:
    'a character is missing: a colon after a name, a closing quote or bracket, or blank space',
  MULTILINE_IMPLICIT_KEY:
    'a line that is neither a field nor a list item: a colon or a dash is missing, or the indentation is wrong',
  MULTIPLE_ANCHORS: 'a value has two anchors (&)',
  MULTIPLE_DOCS: 'a second document begins (---), where one was expected',
  MULTIPLE_TAGS: 'a value has two tags (!)',
  NON_STRING_KEY: 'the name of a field is no text',
  RESOURCE_EXHAUSTION: 'it is nested too deeply, or is too large',
  TAB_AS_INDENT: 'a tab is used to indent, where blanks are needed',
  TAG_RESOLVE_FAILED: 'a tag (!) or a value is not of a known kind',
  UNEXPECTED_TOKEN: 'there is something that belongs to no field',
  BAD_COLLECTION_TYPE: 'a tag (!) does not fit the value after it',
};

/**
 * Reads one YAML document. Hashes and addresses stay text without quotes: `0x…` is not a number here. Throws `CONFIG_INVALID`
 * with every problem and its place, and nothing of the text; `source` names the text in messages.
 */
export function parseYaml(text: string, source: string): unknown {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, {
    customTags: (tags) => tags.filter((tag) => typeof tag === 'string' || tag.format !== 'HEX'),
    lineCounter,
    // otherwise a list or an object as a name would be converted to text, which takes minutes for names within names
    stringKeys: true,
    // the library would compare each name with every other one of its map; `repeatedNames` looks each one up
    uniqueKeys: false,
    prettyErrors: false,
    // otherwise the library writes warnings, with the text they are about, to standard error
    logLevel: 'error',
  });
  const describe = (code: ErrorCode, offset: number): string => {
    const { line, col } = lineCounter.linePos(offset);
    return `line ${line}, column ${col}: ${problemOfCode[code]}`;
  };
  const problems = [...document.errors, ...document.warnings].map(({ code, pos: [offset] }) =>
    describe(code, offset),
  );
  // malformed text is only partly in the tree, and its names may be anything
  if (problems.length === 0) {
    problems.push(...repeatedNames(document).map((offset) => describe('DUPLICATE_KEY', offset)));
  }
  try {
    if (problems.length === 0) return document.toJS();
  } catch {
    problems.push("its aliases (*) can't be resolved, or are too many");
  }
  const [first = ''] = problems;
  const listed = problems.length === 1 ? ` ${first}` : `\n${listProblems(problems)}`;
  throw new ConfigError('CONFIG_INVALID', `${source} is not valid YAML:${listed}`);
}

/** The places of names that their map already has: offsets into the text. */
function repeatedNames(document: Document): number[] {
  const offsets: number[] = [];
  visit(document, {
    Map(_, { items }) {
      const names = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (names.has(key.value)) offsets.push(key.range?.[0] ?? 0);
        names.add(key.value);
      }
    },
  });
  return offsets;
}
