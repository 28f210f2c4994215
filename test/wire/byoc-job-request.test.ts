import { describe, expect, it } from 'vitest';
import { RequestError } from '../../src/errors.ts';
import { decodeByocJobRequest } from '../../src/wire/byoc-job-request.ts';

const job = { id: 'i', capability: 'c', request: '', parameters: '', timeout_seconds: 1 };
const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

function refusal(body: Uint8Array): RequestError {
  try {
    decodeByocJobRequest(body);
  } catch (error) {
    if (error instanceof RequestError) return error;
  }
  throw new Error('not refused');
}

describe('the body of a BYOC job', () => {
  it('is read as it is, other members left out', () => {
    const { timeout_seconds: timeoutSeconds, ...texts } = job;
    expect(decodeByocJobRequest(encode({ ...job, other: 1 }))).toEqual({
      ...texts,
      timeoutSeconds,
    });
    const longest = encode({ ...job, timeout_seconds: 0xffff_ffff });
    expect(decodeByocJobRequest(longest).timeoutSeconds).toBe(0xffff_ffff);
  });

  it.each([
    ['id', { ...job, id: '' }],
    ['capability', { ...job, capability: '' }],
    ['request', { ...job, request: '\ud800' }],
    ['parameters', { ...job, parameters: 1 }],
    ['timeout_seconds', { ...job, timeout_seconds: 0 }],
    ['timeout_seconds', { ...job, timeout_seconds: 0x1_0000_0000 }],
    ['timeout_seconds', { ...job, timeout_seconds: 1.5 }],
    ['', []],
  ])('names the field that is wrong: %s', (field, body) => {
    expect(refusal(encode(body))).toMatchObject({ code: 'BODY_MALFORMED', data: { field } });
  });

  it('is JSON in UTF-8 without a byte order mark, and the parser’s words are kept apart', () => {
    const wrong = [
      Buffer.concat([Uint8Array.of(0xef, 0xbb, 0xbf), encode(job)]),
      Buffer.from('{"id":"\xff"}', 'latin1'),
      Buffer.from('{'),
    ];
    for (const body of wrong) {
      const error = refusal(body);
      expect(error.code).toBe('BODY_MALFORMED');
      expect(error.cause).toBeInstanceOf(Error);
    }
  });
});
