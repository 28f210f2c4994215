import {
  type MetricSpec,
  primaryMetrics,
  workerMetrics,
} from '../../src/telemetry/metric-table.ts';

const tables: Readonly<Record<string, Readonly<Record<string, MetricSpec>>>> = {
  workers: workerMetrics,
  primary: primaryMetrics,
};

/** The page with its tables made anew: each is between `<!-- metrics: NAME -->` and `<!-- end -->`. */
export function withMetricTables(page: string): string {
  return page.replace(
    /(<!-- metrics: (\w+) -->\n)[^]*?(<!-- end -->)/g,
    (_, start: string, name: string, end: string) => `${start}\n${tableOf(name)}\n${end}`,
  );
}

function tableOf(name: string): string {
  const rows = Object.entries(tables[name] ?? {}).map(
    ([metric, { type, labels, help, why }]) =>
      `| \`${metric}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} | ${why} |`,
  );
  return [
    '| metric | type | labels | meaning | the question it answers |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}
