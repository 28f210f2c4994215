import { describe, it } from 'vitest';
import { conformanceCases, type ConformanceSubject } from '../../src/keys/conformance/cases.ts';

/** Runs the whole suite on a provider and prints how many cases there are. */
export function testConformance(provider: string, subject: ConformanceSubject): void {
  const cases = conformanceCases(subject);
  const countOf = (place: 'device' | 'port'): number =>
    cases.filter(({ faultAt }) => faultAt === place).length;
  console.log(
    `conformance of ${provider}: ${cases.length} cases, ` +
      `${countOf('device')} with a fault at the device, ${countOf('port')} with one at the port`,
  );
  describe(`${provider} conforms: it`, () => {
    it.each(cases)('$name', ({ run }) => run());
  });
}
