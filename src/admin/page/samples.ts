/** One line of Prometheus text. Values are for graphs: amounts in them are rounded. */
export type Sample = {
  readonly name: string;
  readonly labels: Readonly<Partial<Record<string, string>>>;
  readonly value: number;
};

const line = /^([a-z_:][\w:]*)(?:\{(.*)\})? (\S+)$/i;
const label = /([a-z_]\w*)="((?:[^"\\]|\\.)*)"/gi;

/** Reads the text that a process gives at `/metrics`. */
export function readSamples(text: string): readonly Sample[] {
  return text.split('\n').flatMap((row) => {
    const [, name, labels = '', value] = line.exec(row) ?? [];
    if (name === undefined) return [];
    const pairs = Array.from(labels.matchAll(label), ([, key = '', quoted = '']) => [
      key,
      unquote(quoted),
    ]);
    return [{ name, labels: Object.fromEntries(pairs) as Sample['labels'], value: Number(value) }];
  });
}

const unquote = (text: string): string =>
  text.replace(/\\(.)/g, (_escape, character) => (character === 'n' ? '\n' : String(character)));

/** The sum of all samples of a name; 0 without any. */
export function total(samples: readonly Sample[], name: string): number {
  return named(samples, name).reduce((sum, { value }) => sum + value, 0);
}

/** The sums of a name's samples by one of their labels. */
export function totalsBy(
  samples: readonly Sample[],
  name: string,
  by: string,
): ReadonlyMap<string, number> {
  const totals = new Map<string, number>();
  for (const { labels, value } of named(samples, name)) {
    const key = labels[by] ?? '';
    totals.set(key, (totals.get(key) ?? 0) + value);
  }
  return totals;
}

/** The samples of one name. */
export function named(samples: readonly Sample[], name: string): readonly Sample[] {
  return samples.filter((sample) => sample.name === name);
}
