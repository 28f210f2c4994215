import { describe, expect, it } from 'vitest';
import { keyPrefixOf } from '../../src/compose/redis-options.ts';

const cluster = { nodes: [] };

/** What Redis takes a key's slot from, by its own rule. */
function slotText(key: string): string {
  const open = key.indexOf('{');
  const close = key.indexOf('}', open + 1);
  return open === -1 || close <= open + 1 ? key : key.slice(open + 1, close);
}

describe('the prefix of the keys in a Redis cluster', () => {
  it.each([
    ['livepeer-hsm-signer:', '{livepeer-hsm-signer:}'],
    ['{signer}:', '{signer}:'],
    ['a{b}{c}', 'a{b}{c}'],
    ['a{}b{x}', '{a{}b{x}}'],
    ['a}b', '{a}b}'],
    ['', '{:}'],
    ['}x', '{:}}x'],
  ])('puts all keys into one slot: %s', (keyPrefix, prefix) => {
    expect(keyPrefixOf({ keyPrefix, cluster })).toBe(prefix);
    expect(slotText(`${prefix}spend`)).toBe(slotText(`${prefix}answers`));
  });

  it('is as it is written where there is no cluster', () => {
    expect(keyPrefixOf({ keyPrefix: 'a{}b{x}', cluster: undefined })).toBe('a{}b{x}');
  });
});
