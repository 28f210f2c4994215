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
  const counts = found.map(({ schedules }) => schedules).sort((a, b) => a - b);
  const by = [...new Set(found.map(({ invariant }) => invariant))].join(', ');
  const isWhole = counts.length === findings.length;
  const median = isWhole ? `${counts[Math.floor(counts.length / 2)]}` : 'not always found';
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
