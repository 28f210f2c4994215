import { describe, expect, it } from 'vitest';
import { framesOf, nameOf } from '../src/foreign-error.ts';
import { JsonSyntaxError } from '../src/wire/json.ts';

const secret = 'hunter2';

describe('what is told of an error that is not our own', () => {
  it.each([
    ['its code', Object.assign(new Error(secret), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
    [
      'the code of what caused it',
      new TypeError(secret, { cause: Object.assign(new Error(), { code: 'ENOTFOUND' }) }),
      'ENOTFOUND',
    ],
    ['the name that it has', new TypeError(secret), 'TypeError'],
    [
      'the class of one that has no name of its own',
      new JsonSyntaxError(secret),
      'JsonSyntaxError',
    ],
    ['no code that may be text', Object.assign(new Error(), { code: secret }), 'Error'],
    ['nothing of what is no error', secret, 'unknown'],
  ])('is %s', (_, error, told) => {
    expect(nameOf(error)).toBe(told);
  });

  it('is where it was thrown, without lines of its message that look the same', () => {
    const frames = framesOf(new Error(`a\n    at ${secret} (b.ts:1:1)`)) ?? '';
    expect(frames).toMatch(/^\s+at .*foreign-error\.test\.ts/m);
    expect(frames).not.toContain(secret);
  });
});
