/**
 * The name that was probably meant: the one with the fewest typing errors, or else the shortest that only goes on longer or ends
 * sooner (`timeout`, `timeoutMs`). Case, dashes and underscores don't count. undefined where none is close.
 */
export function closestName(word: string, names: readonly string[]): string | undefined {
  const wanted = simplify(word);
  const ranked = names
    .map((name) => ({ name, rank: rankOf(wanted, simplify(name)) }))
    .filter(({ rank }) => rank !== Infinity)
    .sort((a, b) => a.rank - b.rank);
  return ranked[0]?.name;
}

const simplify = (name: string): string => name.toLowerCase().replace(/[_-]/g, '');

const lettersPerSlip = 3;
const shortestStart = 3;
/** More typing errors than any name may have: names that only begin alike rank after all that differ by a few letters. */
const afterSlips = 1_000;

function rankOf(wanted: string, name: string): number {
  const longer = Math.max(wanted.length, name.length);
  const shorter = Math.min(wanted.length, name.length);
  const slips = countSlips(wanted, name);
  // where there are several typing errors, the first letter is usually right
  const mostSlips = name.startsWith(wanted[0] ?? '') ? Infinity : 1;
  if (slips <= mostSlips && slips * lettersPerSlip <= shorter) return slips;
  const isStart = name.startsWith(wanted) || wanted.startsWith(name);
  return isStart && shorter >= shortestStart ? afterSlips + longer - shorter : Infinity;
}

/** Letters that are missing, too many, wrong, or swapped with their neighbour (optimal string alignment). */
function countSlips(a: string, b: string): number {
  let beforeLast: readonly number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const isSame = a[row - 1] === b[column - 1];
      const isSwapped = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      current.push(
        Math.min(
          (last[column] ?? 0) + 1,
          (current[column - 1] ?? 0) + 1,
          (last[column - 1] ?? 0) + (isSame ? 0 : 1),
          isSwapped ? (beforeLast[column - 2] ?? Infinity) + 1 : Infinity,
        ),
      );
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}
