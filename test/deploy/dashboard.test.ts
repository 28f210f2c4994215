import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { Folder, root } from '../cli/cli.ts';
import { documentedSeries, faultsOf } from './metric-names.ts';
import { promtool } from './promtool.ts';

type Panel = {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly targets?: readonly { readonly expr: string }[];
};

const path = join(root, 'deploy/grafana/livepeer-hsm-signer.json');
const dashboard = JSON.parse(readFileSync(path, 'utf8')) as {
  panels: Panel[];
  templating: { list: { name: string; definition?: string }[] };
};
const { panels, templating } = dashboard;
const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

describe('the Grafana dashboard', () => {
  it('asks for series, labels and codes that exist', () => {
    const queries = templating.list.flatMap(({ definition }) => definition ?? []);
    expect(queries.length).toBeGreaterThan(1);
    expect([...queries, ...expressions].flatMap(faultsOf)).toEqual([]);
  });

  it('leaves no series out', () => {
    const shown = expressions.join('\n');
    expect([...documentedSeries().keys()].filter((name) => !shown.includes(name))).toEqual([]);
  });

  it('has expressions that Prometheus parses', () => {
    using folder = new Folder();
    const rules = expressions.map((expr, index) => ({
      record: `panel:${index}`,
      expr: expr.replaceAll('$__rate_interval', '5m'),
    }));
    const file = folder.write(
      'expressions.yaml',
      stringify({ groups: [{ name: 'dashboard', rules }] }),
    );
    const { status, output } = promtool('check', 'rules', file);
    expect(output).toContain(`SUCCESS: ${expressions.length} rules found`);
    expect(status).toBe(0);
  });

  it('uses only variables that it defines', () => {
    const used = new Set(
      [...JSON.stringify(dashboard).matchAll(/\$\{?([a-z]\w*)/g)].map(([, name = '']) => name),
    );
    expect([...used].toSorted()).toEqual(templating.list.map(({ name }) => name).toSorted());
  });

  it('puts each panel in a place of its own, and says what it shows', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(Math.max(...panels.map(({ gridPos: { x, w } }) => x + w))).toBe(24);
    for (const { type, description } of panels) {
      if (type !== 'row') expect(description).toMatch(/\w.*\.$/);
    }
  });
});
