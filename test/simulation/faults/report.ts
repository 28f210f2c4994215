import type { PlantedFault } from './catalogue.ts';
import type { Finding } from './find-fault.ts';

/** Whether every search has found the fault, by an invariant that it breaks. */
export function isAsExpected({ invariants }: PlantedFault, findings: readonly Finding[]): boolean {
  return findings.every(
    (finding) => finding.kind === 'found' && invariants.includes(finding.invariant),
  );
}

/** A row of a table: the fault, the invariants that found it, and after how many schedules. */
export function faultRow(fault: PlantedFault, findings: readonly Finding[]): string {
  const { name } = fault;
  const found = findings.flatMap((finding) => (finding.kind === 'found' ? [finding] : []));
  const by = [...new Set(found.map(({ invariant }) => invariant))].join(', ');
  const median = medianOf(findings) ?? 'not always found';
  const all = findings.map((finding) =>
    finding.kind === 'broken'
      ? finding.output
      : finding.kind === 'missed'
        ? '–'
        : finding.schedules,
  );
  const mark = isAsExpected(fault, findings) ? '' : ' (not as expected)';
  return `| ${name}${mark} | ${by} | ${median} | ${all.join(' ')} |`;
}

/** Schedules until the fault is found, of as many searches shorter as longer; undefined where one has not found it. */
function medianOf(findings: readonly Finding[]): number | undefined {
  const counts = findings.flatMap((each) => (each.kind === 'found' ? [each.schedules] : []));
  return counts.length < findings.length ? undefined : middle(counts);
}

/** Of an even number, the greater of the two in the middle. */
function middle(counts: readonly number[]): number | undefined {
  return counts.toSorted((a, b) => a - b)[Math.floor(counts.length / 2)];
}

/** How many faults every search has found, and after how many schedules: the median of their medians, and the slowest one's. */
export function summary(
  faults: readonly { readonly fault: PlantedFault; readonly findings: readonly Finding[] }[],
): string {
  const found = faults.filter(({ fault, findings }) => isAsExpected(fault, findings));
  const medians = found.flatMap(({ fault, findings }) => {
    const median = medianOf(findings);
    return median === undefined ? [] : [{ name: fault.name, median }];
  });
  const slowest = medians.toSorted((a, b) => b.median - a.median)[0];
  return [
    `faults: ${faults.length}`,
    `found by every search: ${found.length}`,
    `median of the medians: ${middle(medians.map(({ median }) => median)) ?? '–'} schedules`,
    `slowest: ${slowest ? `${slowest.name}, ${slowest.median} schedules` : '–'}`,
  ].join('\n');
}
