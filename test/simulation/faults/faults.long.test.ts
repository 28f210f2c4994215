import { describe, expect, it } from 'vitest';
import { testSeed } from '../../support/random.ts';
import { catalogue } from './catalogue.ts';
import { searchFault } from './find-fault.ts';
import { faultRow, isAsExpected } from './report.ts';

const searches = 5;
const mostSchedules = 40_000;

describe('the simulation of the fleet', () => {
  it.each(catalogue)('finds $name', async (fault) => {
    const seeds = Array.from({ length: searches }, (_, place) => (testSeed % 1_000) + place);
    const findings = await searchFault(fault, seeds, mostSchedules);
    const row = faultRow(fault, findings);
    console.log(row);
    expect(isAsExpected(fault, findings), row).toBe(true);
  });
});
