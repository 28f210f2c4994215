type Labels = Readonly<Record<string, string>>;

/** What one scrape of `/metrics` says. */
export class Scrape {
  readonly #samples: readonly {
    readonly name: string;
    readonly labels: Labels;
    readonly value: number;
  }[];

  constructor(text: string) {
    this.#samples = [...text.matchAll(/^([a-z_]+)(?:\{(.*)\})? (\S+)$/gm)].map(
      ([, name = '', labels = '', value]) => ({
        name,
        labels: Object.fromEntries(
          [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, text]) => [
            label,
            text,
          ]),
        ) as Labels,
        value: Number(value),
      }),
    );
  }

  /** The values of the series of this name that have these labels. */
  values(name: string, labels: Labels = {}): number[] {
    return this.#samples
      .filter((sample) => sample.name === name)
      .filter((sample) =>
        Object.entries(labels).every(([label, text]) => sample.labels[label] === text),
      )
      .map(({ value }) => value);
  }

  /** Their sum; 0 where there are none. */
  sum(name: string, labels: Labels = {}): number {
    return this.values(name, labels).reduce((sum, value) => sum + value, 0);
  }
}

export async function scrape(adminUrl: string): Promise<Scrape> {
  const response = await fetch(`${adminUrl}/metrics`);
  if (response.status !== 200) throw new Error(`/metrics: ${response.status}`);
  return new Scrape(await response.text());
}
