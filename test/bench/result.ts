/** One measured figure. With a goal it decides over the exit status. */
export type Figure = {
  readonly name: string;
  readonly value: number;
  readonly goal?: Goal;
};

export type Goal =
  { readonly atMost: number } | { readonly atLeast: number } | { readonly exactly: number };

export type ScenarioResult = {
  /** first the headings, then the rows */
  readonly table: readonly (readonly string[])[];
  /** what must be known to read the figures */
  readonly notes: readonly string[];
  readonly figures: readonly Figure[];
};

/** What `npm run bench` knows by name. */
export type Scenario = (options: ScenarioOptions) => Promise<ScenarioResult>;

export type ScenarioOptions = {
  /** for files; removed at the end */
  readonly folder: string;
  readonly isSoak: boolean;
  /** one line on what is being measured now */
  readonly say: (line: string) => void;
};

export function meetsGoal({ value, goal }: Figure): boolean {
  if (!goal) return true;
  if ('atMost' in goal) return value <= goal.atMost;
  if ('atLeast' in goal) return value >= goal.atLeast;
  return value === goal.exactly;
}

export function formatFigure(figure: Figure): string {
  const { name, value, goal } = figure;
  const shown = `${name}: ${formatNumber(value)}`;
  if (!goal) return shown;
  const [[relation, bound] = ['', NaN]] = Object.entries<number>(goal);
  const words = relation.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return `${shown} (goal: ${words} ${bound}) ${meetsGoal(figure) ? 'ok' : 'MISSED'}`;
}

/** Three significant digits, whole numbers as they are. */
export function formatNumber(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

/** Columns as wide as their widest cell; the first one to the left, the others to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows
    .map((row) =>
      widths
        .map((width, column) => {
          const cell = row[column] ?? '';
          return column === 0 ? cell.padEnd(width) : cell.padStart(width);
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** The middle one; the lower of two. Throws RangeError when there is none. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** The smallest value that this share of all values does not exceed. Throws RangeError when there is none. */
export function percentile(values: readonly number[], share: number): number {
  const found = values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(values.length * share) - 1)];
  if (found === undefined) throw new RangeError('no values');
  return found;
}
