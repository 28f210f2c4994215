import { expect, it } from 'vitest';
import { InternalError } from '../../src/errors.ts';
import { describeAbort, isTimeout } from '../../src/keys/describe-abort.ts';
import { ProviderError } from '../../src/keys/provider.ts';

const timeout = new DOMException('late', 'TimeoutError');
const aborted = {
  code: 'REQUEST_ABORTED',
  retryable: false,
  message: 'nobody waits for it any more',
};
const late = {
  code: 'PROVIDER_TIMEOUT',
  retryable: true,
  message: 'it did not answer before the deadline',
};

it.each([
  ['a deadline', timeout, true, late],
  ['an abort without a reason', undefined, false, aborted],
  ['an abort for null', null, false, aborted],
  ['another DOMException', new DOMException('gone', 'AbortError'), false, aborted],
  ['an error that calls itself a time-out', { name: 'TimeoutError' }, false, aborted],
  ['a text', 'TimeoutError', false, aborted],
])('a call that %s ended fails so', (_, reason, isLate, told) => {
  const signal = AbortSignal.abort(reason);
  expect(isTimeout(signal)).toBe(isLate);
  expect(describeAbort('it', signal)).toBeInstanceOf(ProviderError);
  expect(describeAbort('it', signal)).toMatchObject(told);
});

it('a reason that is one of our own errors stands for itself', () => {
  for (const reason of [
    new ProviderError('PROVIDER_CLOSED', 'closed'),
    new InternalError('INTERNAL', 'x'),
  ]) {
    expect(describeAbort('it', AbortSignal.abort(reason))).toBe(reason);
  }
});
