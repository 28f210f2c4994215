import { primaryMetrics, workerMetrics } from '../../src/telemetry/metric-table.ts';
import { errorFamilies } from '../../src/errors.ts';
import { codeRows, readDocument } from '../docs/markdown.ts';

const seriesOfHistogram = ['_bucket', '_sum', '_count'];

/** The series that the program has, by name; those of histograms with their endings. */
export function announcedSeries(): string[] {
  return Object.entries({ ...workerMetrics, ...primaryMetrics }).flatMap(([name, { type }]) =>
    type === 'histogram' ? seriesOfHistogram.map((ending) => name + ending) : [name],
  );
}

/** The series of docs/metrics.md, each with the labels that it has there. */
export function documentedSeries(): Map<string, readonly string[]> {
  const series = new Map<string, readonly string[]>();
  for (const { cells } of codeRows(readDocument('docs/metrics.md'))) {
    const [name = '', type, labels = ''] = cells;
    const names = [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label);
    if (type !== 'histogram') series.set(name, names);
    else for (const ending of seriesOfHistogram) series.set(name + ending, [...names, 'le']);
  }
  return series;
}

/** What an expression says that can't be so: a series, a label of one, a code that there is not. */
export function faultsOf(expression: string): string[] {
  const series = documentedSeries();
  const codes = Object.keys(errorFamilies);
  return [...expression.matchAll(/(livepeer_hsm_signer_\w+)(?:\{([^}]*)\})?/g)].flatMap(
    ([, name = '', selector = '']) => {
      const labels = series.get(name);
      if (!labels) return [`no series ${name}`];
      return [...selector.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)].flatMap(
        ([, label = '', , value = '']) => {
          if (![...labels, 'job', 'instance'].includes(label)) return [`${name} has no ${label}`];
          if (label !== 'code') return [];
          return alternativesOf(value)
            .filter((pattern) => !codes.some((code) => new RegExp(`^(?:${pattern})$`).test(code)))
            .map((pattern) => `no code ${pattern}`);
        },
      );
    },
  );
}

/** The alternatives of a pattern at its top level. */
function alternativesOf(pattern: string): string[] {
  return pattern.split(/\|(?![^(]*\))/);
}
