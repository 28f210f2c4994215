import { expect } from 'vitest';
import { expectPaid } from '../payments/expectations.ts';
import {
  type Changes,
  mergeChanges,
  usualNow,
  usualTokenExpiration,
} from '../payments/request-builder.ts';
import { createRandom } from '../support/random.ts';
import { type GuardedSigner, as, firstPayment, nextPayment } from './guarded-signer.ts';
import { randomHash, ticketDigests } from './ticket-draws.ts';

/** What a run came to; no ticket of it was drawn twice. */
export type Draws = {
  readonly answers: Readonly<Record<number, number>>;
  readonly aborted: number;
  readonly tickets: number;
};

/** Called by a key before it signs, so that a client can go away while its ticket is being signed. */
export type KeyUse = { onUse: () => void };

const tenants = ['acme:1', 'acme:2', 'globex:1'] as const;
const atOnce = 6;

/** In so many seconds a session that is billed by time comes to owe more tickets than one payment may hold. */
const behindSeconds = 130n;

/** Sessions billed by time pay late, and time passes. */
const behind: Changes = {
  body: { type: 'live' },
  authToken: { expiration: usualTokenExpiration + 10_000_000n },
};

/**
 * Has clients make `count` requests of the signers: new sessions, all older states again, requests repeated as they were,
 * parameters in any order, sessions that owe more than they may pay at once, clients that go away while the key signs. Fails when
 * the keys were asked for a ticket twice, or two answers that are not the same have a ticket in common.
 */
export async function drawAtRandom(
  name: string,
  signers: readonly [GuardedSigner, ...GuardedSigner[]],
  keyUse: KeyUse,
  count: number,
): Promise<Draws> {
  const random = createRandom(name);
  const params = Array.from({ length: Math.ceil(count / 30) }, (): Changes => ({
    ticketParams: { recipientRandHash: randomHash() },
  }));
  const states: {
    readonly sealed: Parameters<typeof nextPayment>[0];
    readonly isByTime: boolean;
  }[] = [];
  const requests: { readonly body: string; readonly headers: Record<string, string> }[] = [];
  const answers: Record<number, number> = {};
  /** the answer that has the ticket, by parameters' recipientRandHash and nonce */
  const owners = new Map<string, string>();
  let aborted = 0;

  function pickLate<Item>(items: readonly Item[]): Item | undefined {
    return items[items.length - 1 - random.int(Math.min(items.length, 40))];
  }

  async function request() {
    const repeated = random.chance(0.15) ? pickLate(requests) : undefined;
    if (repeated) return repeated;
    const tickets = 1 + random.int(4);
    const changes = params[random.int(params.length)];
    const state = random.chance(0.7) ? pickLate(states) : undefined;
    const hasOneByTime = states.some(({ isByTime }) => isByTime);
    const isBehind =
      state !== undefined && (state.isByTime || random.chance(hasOneByTime ? 0.05 : 0.5));
    if (isBehind) {
      for (const signer of signers) {
        signer.now = (signer.now ?? usualNow) + behindSeconds * 1_000_000_000n;
      }
    }
    const body = state
      ? await nextPayment(
          state.sealed,
          tickets,
          isBehind && changes ? mergeChanges(behind, changes) : changes,
        )
      : await firstPayment(tickets, changes);
    const isKeyed = !state && random.chance(0.3);
    const headers = {
      ...as(random.pick(tenants)),
      ...(isKeyed && { 'Idempotency-Key': `key-${random.int(20)}` }),
    };
    const made = { body, headers };
    requests.push(made);
    return made;
  }

  async function pay(): Promise<void> {
    const { body, headers } = await request();
    const signer = signers[random.int(signers.length)] ?? signers[0];
    const leaving = new AbortController();
    if (random.chance(0.1)) keyUse.onUse = () => leaving.abort();
    const response = await fetch(`${signer.url}/generate-live-payment`, {
      method: 'POST',
      headers,
      body,
      signal: leaving.signal,
    }).catch(() => undefined);
    if (!response) {
      aborted += 1;
      return;
    }
    const text = await response.text();
    const answer = { status: response.status, headers: response.headers, text };
    answers[answer.status] = (answers[answer.status] ?? 0) + 1;
    if (answer.status !== 200) return;
    const { sealed, nonces, state } = expectPaid(answer);
    states.push({ sealed, isByTime: state['Type'] === 'live' });
    for (const nonce of nonces) {
      const ticket = `${state['PMSessionID']} ${nonce}`;
      expect(owners.get(ticket) ?? text).toBe(text);
      owners.set(ticket, text);
    }
  }

  for (let made = 0; made < count; made += atOnce) {
    await Promise.all(Array.from({ length: atOnce }, pay));
  }
  expect(states.some(({ isByTime }) => isByTime)).toBe(true);
  const digests = signers.flatMap(({ key }) => ticketDigests(key));
  expect(new Set(digests).size).toBe(digests.length);
  return { answers, aborted, tickets: digests.length };
}
