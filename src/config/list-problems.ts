/** More lines are no help, and a file of a megabyte may have a hundred thousand problems. */
const mostListed = 100;

/** Lists each problem once, on an indented line of its own; beyond 100, it only says how many more there are. */
export function listProblems(problems: Iterable<string>): string {
  const distinct = [...new Set(problems)];
  const lines = distinct.slice(0, mostListed);
  if (distinct.length > mostListed) lines.push(`… and ${distinct.length - mostListed} more`);
  return lines.map((line) => `  ${line}`).join('\n');
}
