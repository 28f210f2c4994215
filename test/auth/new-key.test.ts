import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { Folder, run } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { startTestSigner } from '../support/test-signer.ts';

async function newKey(...args: string[]): Promise<{ key: string; entry: string }> {
  const { status, stdout, stderr } = await run(['auth', 'new-key', ...args]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const [, key, , entry] = stdout.split('\n\n');
  return { key: key ?? '', entry: entry ?? '' };
}

describe('auth new-key', () => {
  it('prints a key that pays once its entry is in the file, and keeps nothing', async () => {
    const { key, entry } = await newKey(
      ...['--principal', 'gateway: 7', '--tenant', 'acme', '--expires', '2125-01-31T00:00:00Z'],
    );
    expect(key).toMatch(/^lhs_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/);
    expect(entry).not.toContain(key.slice(-43));
    expect(parse(entry)).toEqual([
      {
        id: key.split('_')[1],
        hash: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
        principal: 'gateway: 7',
        tenant: 'acme',
        expires: '2125-01-31T00:00:00.000Z',
      },
    ]);
    using folder = new Folder();
    const file = folder.write('api-keys.yaml', entry);
    const signer = await startTestSigner({ settings: { auth: { apiKeys: { file } } } });
    try {
      const answer = await signer.post(payableRequest(), { Authorization: `Bearer ${key}` });
      expect(answer.status).toBe(200);
      expect(signer.logLines.at(-1)).toMatchObject({ principal: 'gateway: 7', tenant: 'acme' });
    } finally {
      await signer.close();
    }
  });

  it('makes another one each time', async () => {
    const [first, second] = [await newKey('--principal', 'a'), await newKey('--principal', 'a')];
    expect(first.key).not.toBe(second.key);
    expect(parse(first.entry)).toEqual([
      expect.not.objectContaining({ expires: expect.anything() as unknown }),
    ]);
  });

  it.each([
    { args: [], says: "required option '--principal <id>' not specified" },
    { args: ['--principal', 'a', '--expires', 'tomorrow'], says: 'Expected a time to come' },
    { args: ['--principal', 'a', '--expires', '2020-01-31T00:00:00Z'], says: 'a time to come' },
    { args: ['--principal', ''], says: '0.principal: expected 1 to 255 characters' },
  ])('$args is wrong usage', async ({ args, says }) => {
    const { status, stdout, stderr } = await run(['auth', 'new-key', ...args]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(says);
  });
});
