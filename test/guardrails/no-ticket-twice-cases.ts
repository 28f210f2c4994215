import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { startRedisServer } from '../support/redis-server.ts';
import type { GuardedSigner } from './guarded-signer.ts';
import { type KeyUse, drawAtRandom } from './random-draws.ts';
import { startUniqueSigner } from './ticket-draws.ts';

const signers: GuardedSigner[] = [];
const folders: string[] = [];
afterEach(async () => {
  for (const signer of signers.splice(0)) await signer.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** With a window that nobody uses up: where there is one, sessions that owe much pay a part. */
const policy = `default: allow
rules: [{ id: all, window: { per: all, every: 1h, tickets: 100000000 } }]`;

async function start(keyUse: KeyUse, store: object, forks: 'count' | 'deny') {
  const signer = await startUniqueSigner({
    policy,
    delayMs: 2,
    reply: (bytes) => {
      const { onUse } = keyUse;
      keyUse.onUse = () => undefined;
      onUse();
      return { encoding: 'raw', bytes };
    },
    settings: { store, policy: { forks } },
  });
  signers.push(signer);
  return signer;
}

/** Runs of `count` requests each. */
export function defineNoTicketTwice(count: number): void {
  it.each([
    ['one instance', 8_388_608, 'count'],
    ['one instance that remembers no answers', 0, 'count'],
    ['one instance that denies forks', 20_000, 'deny'],
  ] as const)('random sessions draw no ticket twice: %s', async (name, answersMaxBytes, forks) => {
    const keyUse: KeyUse = { onUse: () => undefined };
    const path = mkdtempSync(join(tmpdir(), 'livepeer-hsm-signer-draws-'));
    folders.push(path);
    const signer = await start(keyUse, { kind: 'embedded', path, answersMaxBytes }, forks);
    const draws = await drawAtRandom(name, [signer], keyUse, count);
    expect(draws.answers[200]).toBeGreaterThan(count / 4);
    expect(draws.aborted).toBeGreaterThan(0);
    expect(draws.tickets).toBeGreaterThan(count / 4);
  });

  it('random sessions draw no ticket twice: two instances with Redis', async () => {
    await using redis = await startRedisServer('--appendonly', 'no');
    const keyUse: KeyUse = { onUse: () => undefined };
    const store = { kind: 'redis', url: redis.url };
    const first = await start(keyUse, store, 'count');
    const second = await start(keyUse, store, 'count');
    const draws = await drawAtRandom('two instances', [first, second], keyUse, count);
    expect(draws.answers[200]).toBeGreaterThan(count / 4);
    expect(draws.aborted).toBeGreaterThan(0);
    for (const signer of signers.splice(0)) await signer.close();
  });
}
