import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { expectPaid } from '../payments/expectations.ts';
import {
  type Changes,
  buildRequest,
  mergeChanges,
  ticketsWorth,
  usualNow,
  usualTokenExpiration,
} from '../payments/request-builder.ts';
import { type RedisServer, startRedisServer } from '../support/redis-server.ts';
import { expectFailure } from './evidence.ts';
import {
  type GuardedSigner,
  firstPayment,
  nextPayment,
  startGuardedSigner,
  ticketEv,
} from './guarded-signer.ts';

const policy = `default: allow
rules: [{ id: short, limit: { sessionEv: ${10n * ticketEv} wei } }]`;

const hour = 3_600_000_000_000n;
const until = { authToken: { expiration: usualTokenExpiration + 40n * 86_400n } };

/** A session of go-livepeer's, whose state tells when it last paid, and neither when it began nor, unless told, what it spent. */
function oldSession(inPixels: number, lastUpdate: string, spent = {}): Promise<string> {
  const changes: Changes = {
    state: { LastUpdate: lastUpdate, Type: '', InitialPricePerUnit: ticketEv, ...spent },
    body: { type: '', inPixels },
    priceInfo: { pricePerUnit: ticketEv, pixelsPerUnit: 1n },
    ticketParams: ticketsWorth(ticketEv),
  };
  return buildRequest(mergeChanges(until, changes));
}

describe.each(['embedded', 'redis'] as const)('what a session may spend, by %s ledger', (kind) => {
  let redis: RedisServer | undefined;
  let folder: string;
  const signers: GuardedSigner[] = [];
  beforeEach(async () => {
    redis = kind === 'redis' ? await startRedisServer() : undefined;
    folder = mkdtempSync(join(tmpdir(), 'livepeer-hsm-signer-sessions-'));
  });
  afterEach(async () => {
    await Promise.all(signers.splice(0).map((signer) => signer.close()));
    await redis?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  /** One that remembers no answers, as when they are forgotten: nothing tells a fork but the ledger. */
  async function start(): Promise<GuardedSigner> {
    const store = redis
      ? { kind, url: redis.url, answersTtlMs: 1_000 }
      : { kind, path: folder, answersMaxBytes: 0 };
    const signer = await startGuardedSigner({ policy, settings: { store } });
    signers.push(signer);
    return signer;
  }
  const tickets = (signer: GuardedSigner): number => signer.key.digests.length;

  it('holds over 50 forks of a first state, at once and one after another, on two instances', async () => {
    const [signer, other] = [await start(), await start()];
    const { sealed } = expectPaid(await signer.post(await firstPayment(1)));
    signer.key.reset();
    const bodies = await Promise.all(
      Array.from({ length: 50 }, (_, fork) =>
        nextPayment(sealed, 3, { body: { capabilities: new Uint8Array([24, fork + 1]) } }),
      ),
    );
    const answers = await Promise.all(
      bodies.map((body, fork) => (fork % 2 === 0 ? signer : other).post(body)),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(3);
    expect(answers.filter(({ status }) => status === 403)).toHaveLength(47);
    const late = await signer.post(await nextPayment(sealed, 1));
    expectFailure(signer, late, 403, 'RULE_LIMIT_EXCEEDED');
    expect(tickets(signer) + tickets(other)).toBe(9);
    expectPaid(await signer.post(await firstPayment(10)));
  });

  it('counts an old state that comes back, also after a restart', async () => {
    const signer = await start();
    const first = expectPaid(await signer.post(await firstPayment(1)));
    const second = expectPaid(await signer.post(await nextPayment(first.sealed, 5)));
    await signers.shift()?.close();
    const again = await start();
    again.now = usualNow + 20n * hour;
    expectPaid(await again.post(await nextPayment(first.sealed, 4, until)));
    for (const { sealed } of [first, second]) {
      const answer = await again.post(await nextPayment(sealed, 1, until));
      expectFailure(again, answer, 403, 'RULE_LIMIT_EXCEEDED');
    }
  });

  it.each([{}, { SpentEV: `${ticketEv}` }])(
    'takes no state so old that what its session spent may be forgotten, whatever it says of that: %j',
    async (spent) => {
      const signer = await start();
      const ask = (inPixels: number): Promise<string> =>
        oldSession(inPixels, '2026-04-07T20:00:05Z', spent);
      signer.now = usualNow + 24n * hour;
      expectPaid(await signer.post(await ask(1)));
      signer.now = usualNow + 24n * hour + 1_000_000n;
      const answer = await signer.post(await ask(2));
      expectFailure(signer, answer, 403, 'RULE_LIMIT_EXCEEDED');
      expect(answer.text).toContain('the session has not paid for longer than 1d');
    },
  );

  it('gives back what the key was not asked for, and counts the rest', async () => {
    const signer = await start();
    const { sealed } = expectPaid(await signer.post(await firstPayment(1)));
    const gone = new AbortController();
    gone.abort();
    const url = `${signer.url}/generate-live-payment`;
    const body = await nextPayment(sealed, 9);
    await fetch(url, { method: 'POST', body, signal: gone.signal }).catch(() => undefined);
    expectPaid(await signer.post(await nextPayment(sealed, 4)));
    const full = await signer.post(await nextPayment(sealed, 6));
    expectFailure(signer, full, 403, 'RULE_LIMIT_EXCEEDED');
    expectPaid(await signer.post(await nextPayment(sealed, 5)));
  });
});

describe('how long a session may go on', () => {
  it('counts from its last payment where its state does not tell when it began, whoever forks it', async () => {
    const signer = await startGuardedSigner({
      policy: 'default: allow\nrules: [{ id: day, limit: { sessionDuration: 1h } }]',
    });
    const ask = (inPixels: number): Promise<string> => oldSession(inPixels, '2026-04-07T20:00:05Z');
    signer.now = usualNow + hour;
    expectPaid(await signer.post(await ask(1)));
    signer.now = usualNow + hour + 1_000_000_000n;
    expectFailure(signer, await signer.post(await ask(2)), 403, 'RULE_LIMIT_EXCEEDED');
    await signer.close();
  });
});
