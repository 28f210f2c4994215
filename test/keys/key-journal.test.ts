import { expect, it } from 'vitest';
import { type KeyUse, noJournal } from '../../src/keys/key-journal.ts';

it('a journal that records nothing is done with each use at once', async () => {
  const record = await noJournal.begin({} as KeyUse);
  expect(record.signed(1)).toBeInstanceOf(Promise);
  await expect(record.signed(1, 'an event')).resolves.toBeUndefined();
  expect(() => record.failed('INTERNAL', 1)).not.toThrow();
});
