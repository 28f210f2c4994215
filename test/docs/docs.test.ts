import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { configSchema } from '../../src/config/schema.ts';
import { type ErrorCode, errorFamilies } from '../../src/errors.ts';
import { statusOf } from '../../src/http/status.ts';
import { bundledProviders } from '../../plugins/registry.ts';
import { root, run } from '../cli/cli.ts';
import { anchorsOf, codeRows, markdownFiles, readDocument, shellLines } from './markdown.ts';

const codes = Object.keys(errorFamilies) as ErrorCode[];

describe('docs/errors.md', () => {
  const rows = codeRows(readDocument('docs/errors.md'));

  it('has each code once, in its family, in the order of the source', () => {
    expect(rows.map(({ heading, cells }) => [heading, cells[0]])).toEqual(
      codes.map((code) => [errorFamilies[code], code]),
    );
  });

  it.each(rows.map(({ cells }) => cells))('tells status, cause and remedy of %s', (...cells) => {
    const [code, status, when, remedy] = cells;
    const expected =
      code === 'AUTH_WEBHOOK_REJECTED'
        ? "the webhook's own, 400 to 599"
        : `${statusOf(code as ErrorCode)}`;
    expect(status).toBe(expected);
    expect(when).toMatch(/\w.*\.$/);
    expect(remedy).toMatch(/\w.*\.$/);
  });
});

describe('docs/guardrails.md', () => {
  const text = readDocument('docs/guardrails.md');
  const mentioned = [...text.matchAll(/`([A-Z]+(?:_[A-Z]+)+)`/g)].map(([, code = '']) => code);

  it('has every rule of the families policy and caller', () => {
    const rules = codes.filter((code) => ['policy', 'caller'].includes(errorFamilies[code]));
    expect(rules.filter((code) => !mentioned.includes(code))).toEqual([]);
  });

  it('names no code that does not exist, and gives each its status', () => {
    expect(mentioned.filter((code) => !Object.hasOwn(errorFamilies, code))).toEqual([]);
    const rows = [...text.matchAll(/^\| .+? \| `([A-Z_]+)` \| (\S.*?) \|/gm)];
    expect(rows.length).toBeGreaterThan(20);
    for (const [, code = '', status] of rows) {
      const expected =
        code === 'AUTH_WEBHOOK_REJECTED' ? 'its own' : `${statusOf(code as ErrorCode)}`;
      expect([code, status]).toEqual([code, expected]);
    }
  });
});

type Node = z.core.JSONSchema.BaseSchema;

/** Each field that holds a value, with its default as YAML writes it; list items are `[]`. */
function fieldsOf(schema: Node, path = ''): [field: string, preset: string][] {
  const items = schema.items as Node | undefined;
  if (items?.properties) return fieldsOf(items, `${path}[]`);
  const variants = schema.oneOf?.flatMap((variant) => fieldsOf(variant, path));
  if (variants) return [...new Map(variants)];
  if (!schema.properties) {
    const preset = schema.default;
    const text = typeof preset === 'string' ? preset : JSON.stringify(preset);
    return [[path, preset === undefined ? '' : text]];
  }
  return Object.entries(schema.properties).flatMap(([name, child]) =>
    fieldsOf(child as Node, path === '' ? name : `${path}.${name}`),
  );
}

describe('docs/configuration.md', () => {
  const rows = codeRows(readDocument('docs/configuration.md'));
  const fields = fieldsOf(z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' }));

  it('has each field once with its default, and no other', () => {
    const documented = rows
      .filter(({ cells }) => cells.length === 4)
      .map(({ cells }) => [cells[0], cells[2]?.replaceAll('`', '')]);
    expect(documented.toSorted()).toEqual(fields.toSorted());
  });

  it('says of each field what it takes and what it means', () => {
    for (const { cells } of rows.filter((row) => row.cells.length === 4)) {
      expect(cells[1]).toMatch(/\S/);
      expect(cells[3]).toMatch(/\w.*\.$/);
    }
  });

  it('links the page of each bundled provider, and of no other', () => {
    const linked = [
      ...readDocument('docs/configuration.md').matchAll(
        /^\| \[`(\S+)`\]\(providers\/(\S+)\.md\)/gm,
      ),
    ];
    for (const [, name, page] of linked) expect(page).toBe(name);
    expect(linked.map(([, name]) => name).toSorted()).toEqual([...bundledProviders].toSorted());
  });

  it('shows overrides that the program takes', async () => {
    const examples = rows
      .map(({ cells }) => cells[0] ?? '')
      .filter((text) => text.startsWith('LIVEPEER_HSM_SIGNER__'))
      .map((text) => text.split('=') as [string, string]);
    expect(examples.length).toBeGreaterThan(2);
    const { status, stdout, stderr } = await run(
      ['config', 'check', '--config', join(root, 'config/dev.yaml')],
      Object.fromEntries(examples),
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('listening on 127.0.0.1:8000');
  });
});

describe.each(['docs/migration.md', 'docs/clearinghouses.md', 'docs/runbook.md'])('%s', (file) => {
  it('names only settings that there are', () => {
    const sections = Object.keys(configSchema.shape).join('|');
    const pattern = new RegExp(`\`((?:${sections})(?:\\[\\])?\\.[A-Za-z.]*[A-Za-z])`, 'g');
    const named = [...readDocument(file).matchAll(pattern)].map(([, name = '']) => name);
    const documented = readDocument('docs/configuration.md');
    expect(named.length).toBeGreaterThan(3);
    expect(named.filter((name) => !documented.includes(`\`${name}`))).toEqual([]);
  });
});

describe('README.md', () => {
  const lines = shellLines(readDocument('README.md'));
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };

  it('uses only npm scripts that there are', () => {
    const used = lines.flatMap((line) =>
      [...line.matchAll(/npm (?:run (?:-s )?)?(\S+)/g)].map(([, script = '']) => script),
    );
    expect(used).toEqual(expect.arrayContaining(['ci', 'start', 'test', 'demo', 'signer']));
    const ofNpm = ['ci', 'install', 'pack'];
    expect(used.filter((name) => !ofNpm.includes(name) && !scripts[name])).toEqual([]);
  });

  it('names only files that there are', () => {
    const paths = lines.flatMap((line) => line.match(/\b(?:config|softhsm|src|test)\/\S+/g) ?? []);
    expect(paths.length).toBeGreaterThan(3);
    expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  it.each(lines.filter((line) => line.includes('npm run -s signer -- config')))(
    'shows a command that works: %s',
    async (line) => {
      const { status } = await run((line.split(' -- ')[1] ?? '').split(' '));
      expect(status).toBe(0);
    },
  );

  it('maps every folder of src', () => {
    const map = readDocument('README.md');
    const entries = readdirSync(join(root, 'src'), { withFileTypes: true });
    const folders = entries.filter((entry) => entry.isDirectory());
    expect(folders.length).toBeGreaterThan(10);
    for (const { name } of folders) {
      expect(map).toContain(`\`src/${name}\``);
    }
  });
});

describe('links', () => {
  it.each(markdownFiles)('of %s lead somewhere', (file) => {
    const text = readDocument(file);
    const broken = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^(?:https?:|mailto:)/.test(target))
      .filter((target) => {
        const [path = '', anchor] = target.split('#');
        const destination = path === '' ? file : normalize(join(dirname(file), path));
        if (!existsSync(join(root, destination))) return true;
        return anchor !== undefined && !anchorsOf(readDocument(destination)).includes(anchor);
      });
    expect(broken).toEqual([]);
  });
});
