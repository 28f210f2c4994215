/** One column of a table for people: its heading, width in characters, and on which side text is padded. */
export type Column = {
  readonly heading: string;
  readonly width: number;
  readonly align: 'left' | 'right';
};

/** One line of a table; a text wider than its column pushes the rest to the right. */
export function formatRow(columns: readonly Column[], texts: readonly string[]): string {
  const cells = columns.map(({ width, align }, i) => {
    const text = texts[i] ?? '';
    return align === 'left' ? text.padEnd(width) : text.padStart(width);
  });
  return cells.join('  ').trimEnd();
}

/** The heading and a line below it. */
export function formatHeading(columns: readonly Column[]): string {
  const headings = columns.map(({ heading }) => heading);
  const rules = columns.map(({ width }) => '-'.repeat(width));
  return `${formatRow(columns, headings)}\n${formatRow(columns, rules)}`;
}

/** Decimal digits in groups of three, for amounts in wei. */
export function groupDigits(decimal: string): string {
  return decimal.replace(/\B(?=(\d{3})+$)/g, ' ');
}
