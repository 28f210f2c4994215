import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { MetricSpec } from './metric-table.ts';

type Table = Readonly<Record<string, MetricSpec>>;

/** The names of one type's metrics in a table. */
type NameOf<T extends Table, Type extends MetricSpec['type']> = {
  [Name in keyof T]: T[Name]['type'] extends Type ? Name : never;
}[keyof T] &
  string;

/** A registry of the metrics of a table, in its order, all at zero. */
export class MetricRegistry<T extends Table> {
  readonly #table: T;
  readonly #registry = new Registry();

  constructor(table: T) {
    this.#table = table;
    const registers = [this.#registry];
    for (const [name, { type, labels, help: markdown, together, buckets }] of Object.entries(
      table,
    )) {
      const help = plainText(markdown);
      const common = { name, help, labelNames: labels, registers };
      if (type === 'counter') new Counter(common);
      else if (type === 'gauge')
        new Gauge({ ...common, ...(together && { aggregator: together }) });
      else new Histogram({ ...common, ...(buckets && { buckets: [...buckets] }) });
    }
  }

  counter<Name extends NameOf<T, 'counter'>>(name: Name): Counter<T[Name]['labels'][number]> {
    return this.#find(name) as Counter<T[Name]['labels'][number]>;
  }

  gauge<Name extends NameOf<T, 'gauge'>>(name: Name): Gauge<T[Name]['labels'][number]> {
    return this.#find(name) as Gauge<T[Name]['labels'][number]>;
  }

  histogram<Name extends NameOf<T, 'histogram'>>(name: Name): Histogram<T[Name]['labels'][number]> {
    return this.#find(name) as Histogram<T[Name]['labels'][number]>;
  }

  /** The metrics as prom-client's JSON, which can be merged with that of other processes. */
  json(): Promise<readonly object[]> {
    return this.#registry.getMetricsAsJSON();
  }

  #find(name: string): unknown {
    if (!Object.hasOwn(this.#table, name)) throw new Error(`there is no metric ${name}`);
    return this.#registry.getSingleMetric(name);
  }
}

/** Markdown as plain text: links by their words, no code marks. */
function plainText(markdown: string): string {
  return markdown.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll('`', '');
}
