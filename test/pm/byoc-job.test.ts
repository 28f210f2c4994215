import { describe, expect, it } from 'vitest';
import {
  type ByocJob,
  encodeByocJob,
  refuseByocJob,
  startsAsByocJob,
} from '../../src/pm/byoc-job.ts';
import { toHex, utf8ToBytes } from '../../src/pm/bytes.ts';

const job: ByocJob = {
  id: 'é',
  capability: 'cap',
  request: '',
  parameters: 'p',
  timeoutSeconds: 0x0102_0304,
};
const tag = '4c505f42594f435f4a4f425f5631';

describe('a BYOC job', () => {
  it('is its tag in 16 bytes, the time-out, and each text after its length in bytes', () => {
    const texts = ['00000002c3a9', '00000003636170', '00000000', '0000000170'];
    expect(toHex(encodeByocJob(job))).toBe(`0x${tag}000001020304${texts.join('')}`);
    const longest = toHex(encodeByocJob({ ...job, timeoutSeconds: 0xffff_ffff }));
    expect(longest.slice(2 + 32, 2 + 40)).toBe('ffffffff');
  });

  it('is told by its whole tag', () => {
    expect(startsAsByocJob(encodeByocJob(job))).toBe(true);
    expect(startsAsByocJob(utf8ToBytes('LP_BYOC_JOB_V1'))).toBe(true);
    expect(startsAsByocJob(utf8ToBytes('LP_BYOC_JOB_V2'))).toBe(false);
    expect(startsAsByocJob(utf8ToBytes('XP_BYOC_JOB_V1'))).toBe(false);
    expect(startsAsByocJob(utf8ToBytes('LP_BYOC_JOB_V'))).toBe(false);
    expect(startsAsByocJob(new Uint8Array())).toBe(false);
  });

  it.each([168, 232])('of %i bytes is refused: a ticket is as long', (length) => {
    const ofLength = (bytes: number): ByocJob => {
      const empty = encodeByocJob({ ...job, request: '' }).length;
      return { ...job, request: 'x'.repeat(bytes - empty) };
    };
    expect(refuseByocJob(ofLength(length))).toEqual({ code: 'BYOC_JOB_INVALID', data: { length } });
    for (const other of [length - 1, length + 1]) {
      expect(refuseByocJob(ofLength(other))).toBeUndefined();
    }
  });
});
