import { expect, it } from 'vitest';
import { closestName } from '../src/closest-name.ts';

const names = ['listen', 'tls', 'timeoutMs', 'version', 'path', 'password', 'requestTimeoutMs'];

it.each([
  ['listn', 'listen'],
  ['lisetn', 'listen'],
  ['LISTEN', 'listen'],
  ['timeout_ms', 'timeoutMs'],
  ['timeout', 'timeoutMs'],
  ['request', 'requestTimeoutMs'],
  ['passwordFile', 'password'],
  ['pasword', 'password'],
  ['pa', undefined],
  ['tl', undefined],
  ['istn', undefined],
  ['isten', 'listen'],
  ['session', undefined],
  ['reason', undefined],
  ['port', undefined],
  ['ca', undefined],
  ['', undefined],
])('"%s" is close to %s', (word, name) => {
  expect(closestName(word, names)).toBe(name);
});
