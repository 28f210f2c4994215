/** More lines help nobody, and a file of a megabyte may have a hundred thousand. */
const mostListed = 100;

/** A line for each problem, indented and once only; how many more there are when they are over 100. */
export function listProblems(problems: Iterable<string>): string {
  const distinct = [...new Set(problems)];
  const lines = distinct.slice(0, mostListed);
  if (distinct.length > mostListed) lines.push(`… and ${distinct.length - mostListed} more`);
  return lines.map((line) => `  ${line}`).join('\n');
}
