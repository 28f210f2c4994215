import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { instrument } from './instrument.ts';
import { findMutants } from './mutants.ts';
import { nameMutants, readListed } from './survivors.ts';

const root = join(import.meta.dirname, '../..');

function become(source: string): string[] {
  return findMutants('source.ts', source).map(({ to }) => to);
}

describe('mutants', () => {
  it.each([
    ['if (a < b) f();', ['if (true) f();', 'if (false) f();', 'if (a <= b) f();', 'if (a < b)']],
    ['g(a ?? b);', ['', 'g(a);', 'g(b);']],
    ['g(a?.b.c);', ['', 'g(a.b.c);']],
    ['const x = 7n;', ['const x = 8n;']],
    ['const x = /^a{2}$/;', ['const x = /a{2}$/;', 'const x = /^a{3}$/;', 'const x = /^a{2}/;']],
    ['const x = [a, b];', ['const x = [b];', 'const x = [a];']],
    ['const x = `DELETE FROM t WHERE a <= ?`;', ['const x = `DELETE FROM t WHERE a < ?`;']],
    [
      "const x = `\nif redis.call('GET', k) <= n then\n  redis.call('DEL', k)\nend`;",
      ['if true then', 'if false then', "if redis.call('GET', k) < n then", ''],
    ],
  ])('of %s', (source, expected) => {
    expect(become(source)).toEqual(expect.arrayContaining(expected));
  });

  it('are told apart by their language', () => {
    const source =
      "f(`DELETE FROM t WHERE a <= ?`, 1);\ng(`\nif redis.call('GET', KEYS[1]) then\n  return 1\nend`);";
    const languages = findMutants('source.ts', source).map(({ line, language }) => [
      line,
      language,
    ]);
    expect(languages).toEqual(
      expect.arrayContaining([
        [1, 'sql'],
        [1, 'typescript'],
        [3, 'lua'],
      ]),
    );
    expect(languages).not.toContainEqual([3, 'typescript']);
  });

  it('leave messages for people, types and names as they are', () => {
    const source =
      "import { a } from './a.ts';\ntype T = 'x' | 1;\nconst e = new RangeError('no');\n";
    expect(become(source)).toEqual([]);
  });

  it('stand side by side, and one at a time is awake', () => {
    const source = 'const f = (a: number, b: number): boolean => a + 2 * b > 5 && b !== 0;';
    const mutants = findMutants('source.ts', source);
    const whole = instrument(source, new Map(mutants.entries()), './switch.ts');
    const script = stripTypeScriptTypes(whole).replace(/^import .*?; const .*?; /, '');
    const build = (code: string): ((a: number, b: number) => boolean) =>
      // eslint-disable-next-line @typescript-eslint/no-implied-eval, @typescript-eslint/no-unsafe-call
      new Function('__mutant', `${code}; return f;`)((id: number) => id === awake) as never;
    let awake = -1;
    const cases = [0, 1, 2, 3, 6].flatMap((a) => [0, 1, 2, 5].map((b) => [a, b] as const));
    const table = (f: (a: number, b: number) => boolean): string =>
      cases.map(([a, b]) => f(a, b)).join();
    const original = table(build(stripTypeScriptTypes(source)));
    expect(table(build(script))).toBe(original);
    mutants.forEach(({ start, end, text }, id) => {
      awake = id;
      const alone = stripTypeScriptTypes(source.slice(0, start) + text + source.slice(end));
      expect(table(build(script))).toBe(table(build(alone)));
    });
    expect(mutants.length).toBeGreaterThan(6);
  });
});

describe('the list of survivors', () => {
  it('names mutants that there are, each once', () => {
    const listed = readListed();
    const names = listed.map(({ file, mutant }) => `${file}: ${mutant}`);
    expect(new Set(names).size).toBe(names.length);
    const present = [...new Set(listed.map(({ file }) => file))].flatMap((file) =>
      nameMutants(findMutants(file, readFileSync(join(root, file), 'utf8'))).map(
        ({ name }) => `${file}: ${name}`,
      ),
    );
    expect(names.filter((name) => !present.includes(name))).toEqual([]);
  });
});
