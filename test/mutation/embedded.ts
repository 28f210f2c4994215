import type { Edit } from './mutants.ts';

const lua =
  /\bredis\.(p?call|error_reply|status_reply)\b|\b(ARGV|KEYS)\[|^\s*local (function )?\w+/m;
const sql =
  /^[`'"]\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|PRAGMA|WITH|ALTER|DROP|BEGIN|COMMIT|ROLLBACK|VACUUM|ANALYZE)\b/i;

/** What a mistake in Lua writes instead; the first that matches at a place is taken. */
const luaSwaps: readonly (readonly [RegExp, (match: string) => string])[] = [
  [/<=/g, () => '<'],
  [/>=/g, () => '>'],
  [/(?<![<>=~$])<(?!=)/g, () => '<='],
  [/(?<![<>=~-])>(?!=)/g, () => '>='],
  [/==/g, () => '~='],
  [/~=/g, () => '=='],
  [/(?<=\s)\+(?=\s)/g, () => '-'],
  [/(?<=\s)-(?=\s)/g, () => '+'],
  [/(?<=\s)\*(?=\s)/g, () => '/'],
  [/(?<=\s)\/(?=\s)/g, () => '*'],
  [/\band\b/g, () => 'or'],
  [/\bor\b/g, () => 'and'],
  [/\bnot /g, () => ''],
  [/\btrue\b/g, () => 'false'],
  [/\bfalse\b/g, () => 'true'],
  [/\bmath\.max\b/g, () => 'math.min'],
  [/\bmath\.min\b/g, () => 'math.max'],
  [/\bmath\.floor\b/g, () => 'math.ceil'],
  [/(?<![\w.$])\d+\b(?!\])/g, (digits) => `${BigInt(digits) + 1n}`],
  [/(?<=\[)\d+(?=\])/g, (digits) => `${BigInt(digits) + 1n}`],
  [/'[A-Z]{2,}'/g, (name) => luaCommands[name] ?? name],
  [/'(NX|XX|GT|LT|PX|EX|KEEPTTL)'/g, () => "''"],
  [/'[a-z][a-z-]*'/g, () => "'mutant'"],
];

const luaCommands: Partial<Record<string, string>> = {
  "'HSETNX'": "'HSET'",
  "'SETNX'": "'SET'",
  "'INCRBY'": "'DECRBY'",
  "'DECRBY'": "'INCRBY'",
  "'HINCRBY'": "'HGET'",
  "'ZRANGE'": "'ZREVRANGE'",
};

const sqlSwaps: readonly (readonly [RegExp, (match: string) => string])[] = [
  [/<=/g, () => '<'],
  [/>=/g, () => '>'],
  [/<>|!=/g, () => '='],
  [/(?<![<>!=])<(?![=>])/g, () => '<='],
  [/(?<![<>=])>(?!=)/g, () => '>='],
  [/(?<![<>!=])=(?!=)(?= *[?:@$\w(])/g, () => '<>'],
  [/(?<=\s)\+(?=\s)/g, () => '-'],
  [/(?<=\s)-(?=\s)/g, () => '+'],
  [/\bAND\b/gi, () => 'OR'],
  [/\bOR (?!IGNORE|REPLACE|ABORT|FAIL|ROLLBACK)/gi, () => 'AND '],
  [/\bOR (IGNORE|REPLACE|ABORT)\b/gi, () => ''],
  [/\bMIN\(/gi, () => 'max('],
  [/\bMAX\(/gi, () => 'min('],
  [/\bASC\b/gi, () => 'DESC'],
  [/\bDESC\b/gi, () => ''],
  [/\bNOT NULL\b/gi, () => ''],
  [/\bNOT (?!NULL|EXISTS)/gi, () => ''],
  [/\bIS NULL\b/gi, () => 'IS NOT NULL'],
  [/\bIS NOT NULL\b/gi, () => 'IS NULL'],
  [/\bDISTINCT \b/gi, () => ''],
  [/\bUNIQUE\b/gi, () => ''],
  [/\bPRIMARY KEY\b/gi, () => ''],
  [/\bEXTRA\b|\bFULL\b/g, () => 'OFF'],
  [/\bLIMIT \d+/gi, () => ''],
  [/\bWHERE [\s\S]*?(?=\bORDER\b|\bGROUP\b|\bLIMIT\b|\bRETURNING\b|[`'"]?$)/gi, () => ''],
  [/(?<![\w.$?:])\d+\b/g, (digits) => `${BigInt(digits) + 1n}`],
];

type Embedded = { readonly language: 'lua' | 'sql'; readonly edits: readonly Edit[] };

/**
 * Edits inside a literal of Lua or SQL, counted from its first quote; undefined where it is neither. Of Lua, also each
 * statement of one line left out, and each condition true and false.
 */
export function embeddedEdits(literal: string): Embedded | undefined {
  if (literal.startsWith('`') && lua.test(literal)) {
    const edits = [...swapped(literal, luaSwaps, /--.*$/gm), ...luaLines(literal)];
    return { language: 'lua', edits };
  }
  if (!sql.test(literal)) return undefined;
  return { language: 'sql', edits: swapped(literal, sqlSwaps, /--.*$/gm) };
}

function swapped(literal: string, swaps: typeof luaSwaps, comments: RegExp): Edit[] {
  const covered = literal.replace(comments, (comment) => ' '.repeat(comment.length));
  return swaps.flatMap(([pattern, write]) =>
    [...covered.matchAll(pattern)].map(({ 0: match, index }) => ({
      start: index,
      end: index + match.length,
      text: write(match),
    })),
  );
}

function luaLines(literal: string): Edit[] {
  const edits: Edit[] = [];
  for (const { 0: line, index } of literal.matchAll(/^[^\n`]+$/gm)) {
    const statement = line.trim();
    const start = index + line.indexOf(statement);
    const end = start + statement.length;
    const condition = /^((?:else)?if )(.+?)( then\b)/.exec(statement);
    const loop = /^(while )(.+?)( do\b)/.exec(statement);
    const [, before, tested] = condition ?? loop ?? [];
    if (before !== undefined && tested !== undefined) {
      const from = start + before.length;
      const to = from + tested.length;
      if (condition) edits.push({ start: from, end: to, text: 'true' });
      edits.push({ start: from, end: to, text: 'false' });
    } else if (/^(redis\.p?call\(.*\)|[\w.[\]]+ = .*[^,({])$/.test(statement)) {
      edits.push({ start, end, text: '' });
    }
  }
  return edits;
}
