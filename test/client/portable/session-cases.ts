import {
  createPaymentSession,
  OrchestratorRefusalError,
  OrchestratorUnreachableError,
  type PaymentSession,
  type PaymentSessionPorts,
  type PaymentType,
  readPaymentChallenge,
  refreshPayment,
  resumePaymentSession,
  type SessionSnapshot,
  type SignerClient,
  SignerRefusalError,
  SignerUnreachableError,
} from 'livepeer-remote-signer-client';
import { type Case, equal, failure, ok } from './expect.ts';
import { type Step, World } from './lab-client.ts';

const lost: Step = 'lose-answer';

/** The session of a world whose terms came with a challenge; refreshed with a new one before its first payment. */
async function open(
  world: World,
  type: PaymentType,
  ports: Partial<PaymentSessionPorts> = {},
): Promise<PaymentSession> {
  const client = ports.client ?? world.client();
  const challenge = await world.challenge(type, client);
  return createPaymentSession({
    client,
    type,
    orchestrator: challenge.paymentParams,
    refresh: refreshOf(world, type, client),
    ...ports,
  });
}

function refreshOf(
  world: World,
  type: PaymentType,
  client: SignerClient,
): NonNullable<PaymentSessionPorts['refresh']> {
  return async ({ isFirst, orchestratorUrl: url, manifestId }) => {
    if (isFirst) return world.challenge(type, client);
    const { address: sender } = await client.signOrchestratorInfo();
    return refreshPayment({ url, sender, manifestId });
  };
}

/** All that the orchestrators took. Throws unless they took every payment and dropped no session. */
async function accepted(world: World): Promise<{ payments: number; tickets: number }> {
  const { orchestrators } = await world.report();
  const all = Object.values(orchestrators);
  equal(
    all.flatMap(({ rejections }) => rejections),
    [],
    'what was rejected',
  );
  equal(
    all.flatMap(({ droppedSessions }) => droppedSessions),
    [],
    'what was dropped',
  );
  return {
    payments: all.reduce((sum, { acceptedPayments }) => sum + acceptedPayments, 0),
    tickets: all.reduce((sum, { acceptedTickets }) => sum + acceptedTickets, 0),
  };
}

export const sessionCases: readonly Case[] = [
  {
    name: 'keeps many sessions of all types paid through all that goes wrong',
    run: async (labUrl, sessionCount) => {
      const world = await World.open(labUrl);
      const types = Array.from(
        { length: sessionCount },
        (_, index) => (['lv2v', 'live', 'fixed'] as const)[index % 3] ?? 'live',
      );
      const saved = new Map<number, string>();
      const ports = (index: number, type: PaymentType): PaymentSessionPorts => {
        const client = world.client();
        return {
          client,
          refresh: refreshOf(world, type, client),
          save: (snapshot) => saved.set(index, JSON.stringify(snapshot)),
        };
      };
      const sessions = await Promise.all(
        types.map((type, index) => open(world, type, ports(index, type))),
      );
      const metered = sessions.flatMap((session, index) =>
        session.type === 'fixed' ? [] : [{ session, index }],
      );
      const counts = { paid: 0, 'nothing-due': 0, refreshes: 0 };
      const payAll = async (): Promise<void> => {
        const outcomes = await Promise.all(metered.map(({ session }) => session.pay()));
        for (const { kind, refreshes } of outcomes) {
          counts[kind] += 1;
          counts.refreshes += refreshes;
        }
      };
      const nextRound = (): Promise<unknown> => world.tell({ do: 'advance', seconds: 6 });
      const tooMany: Step = { status: 429, headers: { 'Retry-After': '0' } };

      // first payments: some answers get lost, some clients are sent away
      await world.tell({
        do: 'script',
        signer: [lost, 'lose-request', tooMany, lost, 'forward', tooMany, lost],
        orchestrator: ['forward', lost, 'lose-request', 'forward', lost],
      });
      const firsts = await Promise.all(sessions.map((session) => session.pay()));
      equal([...new Set(firsts.map(({ kind }) => kind))], ['paid'], 'first payments');
      await nextRound();
      await payAll();

      // terms that are about to expire come with the answers to the payments of some rounds
      for (let round = 0; counts.refreshes < metered.length; round += 1) {
        ok(round < 10, 'the signer asks every session for fresh terms within ten rounds');
        await nextRound();
        await world.tell({ do: 'age-terms', isOn: true });
        await payAll();
        await world.tell({ do: 'age-terms', isOn: false });
        await nextRound();
        await payAll();
      }

      // the signer restarts while everybody asks
      await nextRound();
      await world.tell({ do: 'stop-signer' });
      const asked = payAll();
      await world.tell({ do: 'start-signer' });
      await asked;

      // every process dies; others go on from what was stored
      await nextRound();
      for (const each of metered) {
        const snapshot = JSON.parse(saved.get(each.index) ?? '') as SessionSnapshot;
        each.session = resumePaymentSession({ ...ports(each.index, each.session.type), snapshot });
      }
      for (let round = 0; round < 2; round += 1) {
        await payAll();
        await nextRound();
      }

      const { payments, tickets } = await acceptedButRepeats(world);
      equal(payments, types.length + counts.paid, 'payments that orchestrators took');
      ok(tickets >= payments, 'each payment has a ticket');
      ok(counts['nothing-due'] > 0, 'sometimes nothing was due');
      ok(counts.refreshes >= metered.length, 'sessions went on with fresh terms');
    },
  },
  {
    name: 'repeats a first payment whose answer was lost, with the same key and body, and it is made once',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const session = await open(world, 'live');
      await world.tell({ do: 'script', signer: [lost] });
      await session.pay();
      const [first, second, ...others] = await world.paymentRequests();
      equal(others, []);
      equal(second?.body, first?.body);
      ok(/^[0-9a-f]{32}$/.test(first?.headers['idempotency-key'] ?? ''), 'a key was sent');
      equal(second?.headers['idempotency-key'], first?.headers['idempotency-key']);
      const { payments, tickets } = await accepted(world);
      const { keyCalls } = await world.report();
      // the orchestrator's info, the credentials, and each ticket once
      equal([payments, keyCalls], [1, tickets + 1]);
    },
  },
  {
    name: 'repeats a later payment whose answer was lost, and it is made once',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const session = await open(world, 'live');
      await session.pay();
      await world.tell({ do: 'advance', seconds: 9 });
      await world.tell({ do: 'script', signer: [lost, lost] });
      equal((await session.pay()).kind, 'paid');
      const [, second, third, fourth] = await world.paymentRequests();
      equal([third?.body, fourth?.body], [second?.body, second?.body]);
      equal(second?.headers['idempotency-key'], undefined);
      const { tickets } = await accepted(world);
      equal((await world.report()).keyCalls, tickets + 1);
    },
  },
  {
    name: 'uses another key for another first request',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      await world.tell({ do: 'age-terms', isOn: true });
      const session = await open(world, 'live');
      await world.tell({ do: 'age-terms', isOn: false });
      const before = session.manifestId;
      const { refreshes } = await session.pay();
      equal(refreshes, 1);
      ok(session.manifestId !== before, 'the new terms are for another session');
      const keys = (await world.paymentRequests()).map(({ headers }) => headers['idempotency-key']);
      equal(new Set(keys).size, 2);
      equal((await accepted(world)).payments, 1);
    },
  },
  {
    name: 'takes a payment as delivered when its repetition was seen before',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const session = await open(world, 'live');
      await world.tell({ do: 'script', orchestrator: [lost] });
      equal((await session.pay()).kind, 'paid');
      await world.tell({ do: 'advance', seconds: 9 });
      equal((await session.pay()).kind, 'paid');
      equal((await acceptedButRepeats(world)).payments, 2);
    },
  },
  {
    name: 'takes a payment as delivered when fetch repeated it by itself, but not twice in a row',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const twice: PaymentSessionPorts['fetch'] = async (input, init) => {
        const first = await fetch(input, init);
        await first.arrayBuffer();
        return fetch(input, init);
      };
      const fixed = await open(world, 'fixed', { fetch: twice });
      equal((await fixed.pay()).kind, 'paid');
      const session = await open(world, 'live', { fetch: twice });
      equal((await session.pay()).kind, 'paid');
      await world.tell({ do: 'advance', seconds: 9 });
      equal((await failure(session.pay(), OrchestratorRefusalError)).status, 400);
    },
  },
  {
    name: 'ends with a payment that the orchestrator refuses',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const session = await open(world, 'fixed');
      await session.pay();
      await world.tell({ do: 'advance', seconds: 1 });
      const refusal = await failure(session.pay(), OrchestratorRefusalError);
      equal(refusal.status, 409);
      const asked = (await world.paymentRequests()).length;
      equal(await failure(session.pay(), OrchestratorRefusalError), refusal);
      equal((await world.paymentRequests()).length, asked);
    },
  },
  {
    name: 'hands the state back as it got it, and takes the next terms from the answer to the payment',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const session = await open(world, 'live');
      await session.pay();
      const { state } = session.snapshot();
      await world.tell({ do: 'advance', seconds: 9 });
      await session.pay();
      const bodies = (await world.paymentRequests()).map(
        ({ body }) => JSON.parse(body) as { state?: unknown; orchestrator: string },
      );
      equal(bodies[0]?.state, undefined);
      equal(bodies[1]?.state, state);
      ok(bodies[0]?.orchestrator !== bodies[1]?.orchestrator, 'the terms are other ones');
    },
  },
  {
    name: 'keeps the manifest id when a running session is refreshed, by default too',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      for (const type of ['live', 'lv2v'] as const) {
        const client = world.client();
        const challenge = await world.challenge(type, client);
        const session = createPaymentSession({ client, type, challenge });
        await world.tell({ do: 'age-terms', isOn: true });
        await session.pay();
        await world.tell({ do: 'age-terms', isOn: false });
        await world.tell({ do: 'advance', seconds: 9 });
        const outcome = await session.pay();
        equal([outcome.kind, outcome.refreshes], ['paid', 1]);
        equal(session.manifestId, challenge.manifestId);
      }
      equal((await accepted(world)).payments, 4);
    },
  },
  {
    name: 'says that a first payment needs fresh terms when it has no way to get them',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const client = world.client();
      await world.tell({ do: 'age-terms', isOn: true });
      const challenge = await world.challenge('live', client);
      await world.tell({ do: 'age-terms', isOn: false });
      const session = createPaymentSession({ client, type: 'live', challenge });
      const refusal = await failure(session.pay(), SignerRefusalError);
      equal(refusal.status, 480);
    },
  },
  {
    name: 'gives up after three refreshes in a row',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const session = await open(world, 'live');
      await world.tell({ do: 'script', signer: Array<Step>(4).fill({ status: 480 }) });
      equal((await failure(session.pay(), SignerRefusalError)).status, 480);
      equal((await world.paymentRequests()).length, 4);
    },
  },
  {
    name: 'waits for as long as 429 and 503 ask, and up to a quarter longer',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const inTwoSeconds = (): string => new Date(Date.now() + 2_000).toUTCString();
      for (const [status, retryAfterOf, random, leastMs] of [
        [429, () => '1', 0, 1_000],
        [503, () => '1', 0.8, 1_200],
        // a date has no fractions of a second
        [503, inTwoSeconds, 0, 700],
        [503, () => undefined, 0.4, 275],
      ] as const) {
        const session = await open(world, 'live', {
          client: world.client({ random: () => random }),
        });
        const retryAfter = retryAfterOf();
        const headers = retryAfter === undefined ? {} : { 'Retry-After': retryAfter };
        await world.tell({ do: 'script', signer: [{ status, headers }] });
        const startedAt = performance.now();
        equal((await session.pay()).kind, 'paid');
        const waitedMs = performance.now() - startedAt;
        // timers of some programs fire up to a millisecond early
        ok(waitedMs >= leastMs - 2, `it waits ${leastMs} ms; it waited ${waitedMs}`);
      }
      equal((await accepted(world)).payments, 4);
    },
  },
  {
    name: 'tells a wait that is too long, and can go on after it',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const session = await open(world, 'live');
      const step: Step = {
        status: 429,
        headers: { 'Retry-After': '3600' },
        body: '{"error":{"message":"window exhausted"}}',
      };
      await world.tell({ do: 'script', signer: [step] });
      const refusal = await failure(session.pay(), SignerRefusalError);
      equal(
        [refusal.status, refusal.retryAfterMs, refusal.message],
        [429, 3_600_000, 'the signer answered 429: window exhausted'],
      );
      equal((await session.pay()).kind, 'paid');
      const keys = (await world.paymentRequests()).map(({ headers }) => headers['idempotency-key']);
      equal(new Set(keys).size, 1);
    },
  },
  {
    name: 'ends with any other refusal',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      for (const status of [400, 401, 403, 422, 481, 483, 500, 502]) {
        const session = await open(world, 'live');
        const before = (await world.paymentRequests()).length;
        await world.tell({ do: 'script', signer: [{ status, body: '{"error":"no"}' }] });
        const refusal = await failure(session.pay(), SignerRefusalError);
        equal([refusal.status, refusal.message], [status, `the signer answered ${status}: no`]);
        equal(await failure(session.pay(), SignerRefusalError), refusal);
        equal((await world.paymentRequests()).length, before + 1);
      }
    },
  },
  {
    name: 'has the real signer refuse a price above the ceiling',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const client = world.client();
      const challenge = await world.challenge('live', client);
      const cheap = createPaymentSession({ client, type: 'live', challenge, maxPrice: '999999.5' });
      const { status, code } = await failure(cheap.pay(), SignerRefusalError);
      equal([status, code], [481, 'PRICE_ABOVE_CEILING']);
      const enough = createPaymentSession({
        client,
        type: 'live',
        challenge,
        maxPrice: 1_000_000n,
      });
      equal((await enough.pay()).kind, 'paid');
    },
  },
  {
    name: 'goes on with the same request when the signer was unreachable for too long',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const session = await open(world, 'live', { client: world.client({ maxWaitMs: 300 }) });
      await world.tell({ do: 'script', signer: [lost, lost] });
      await failure(session.pay(), SignerUnreachableError);
      equal((await session.pay()).kind, 'paid');
      const requests = await world.paymentRequests();
      equal(new Set(requests.map(({ body }) => body)).size, 1);
      const { tickets } = await accepted(world);
      equal((await world.report()).keyCalls, tickets + 1);
    },
  },
  {
    name: 'keeps a payment that the orchestrator could not be sent, and sends it first',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const session = await open(world, 'live', { client: world.client({ maxWaitMs: 300 }) });
      const orchestrator: Step[] = ['lose-request', 'lose-request'];
      await world.tell({ do: 'script', orchestrator });
      await failure(session.pay(), OrchestratorUnreachableError);
      equal((await session.pay()).kind, 'paid');
      equal((await world.paymentRequests()).length, 1);
      equal((await accepted(world)).payments, 1);
    },
  },
  {
    name: 'goes on wherever a process dies, without a ticket lost or paid twice',
    run: async (labUrl) => {
      for (let deathAt = 1; deathAt <= 6; deathAt += 1) {
        const world = await World.open(labUrl);
        let saves = 0;
        let stored: string;
        const save = (snapshot: SessionSnapshot): void => {
          stored = JSON.stringify(snapshot);
          saves += 1;
          if (saves === deathAt) throw new Deadly();
        };
        const session = await open(world, 'live', { save });
        stored = JSON.stringify(session.snapshot());
        const steps = async (payer: PaymentSession): Promise<void> => {
          await payer.pay();
          await world.tell({ do: 'advance', seconds: 9 });
          await payer.pay();
        };
        await failure(steps(session), Deadly);
        const client = world.client();
        const resumed = resumePaymentSession({
          client,
          refresh: refreshOf(world, 'live', client),
          snapshot: JSON.parse(stored) as SessionSnapshot,
        });
        equal(resumed.manifestId, session.manifestId);
        await resumed.pay();
        await world.tell({ do: 'advance', seconds: 9 });
        equal((await resumed.pay()).kind, 'paid');
        const { tickets } = await acceptedButRepeats(world);
        const { keyCalls } = await world.report();
        equal(keyCalls, tickets + 1, `signatures after a death at save ${deathAt}`);
        const [account] = (await world.orchestrator('live')).sessions;
        ok(BigInt(account?.balanceWei ?? '-1') >= 0n, 'the balance covers the work');
      }
    },
  },
  {
    name: 'sends one request at a time',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const session = await open(world, 'live');
      const outcomes = await Promise.all(Array.from({ length: 5 }, () => session.pay()));
      equal(
        outcomes.map(({ kind }) => kind).filter((kind) => kind === 'paid').length,
        (await accepted(world)).payments,
      );
      equal((await world.report()).mostUnderWay, 1);
      // two thirds of a second later, it is at the turn of those that came after
      await world.tell({
        do: 'script',
        signer: [{ status: 503, headers: { 'Retry-After': '1' } }],
      });
      const slow = session.pay();
      const impatient = failure(session.pay({ signal: AbortSignal.timeout(100) }), Error);
      equal((await impatient).name, 'TimeoutError');
      await slow;
    },
  },
  {
    name: 'can be aborted while it waits, and goes on later',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const session = await open(world, 'live');
      await world.tell({ do: 'script', signer: ['hang', { status: 503 }] });
      for (const afterMs of [50, 150]) {
        const aborted = new AbortController();
        setTimeout(() => aborted.abort(new RangeError('enough')), afterMs);
        await failure(session.pay({ signal: aborted.signal }), RangeError);
      }
      equal((await session.pay()).kind, 'paid');
      const requests = await world.paymentRequests();
      equal(new Set(requests.map(({ body }) => body)).size, 1);
    },
  },
  {
    name: 'pays by the clock until it is stopped, and finishes the payment that is under way',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const session = await open(world, 'live');
      const kinds: string[] = [];
      const fourth = deferred();
      const loop = session.start({
        everyMs: 20,
        onOutcome: ({ kind }) => {
          kinds.push(kind);
          if (kinds.length === 4) fourth.resolve();
        },
      });
      await fourth.promise;
      equal(await loop.stop(), { kind: 'stopped' });
      const seen = kinds.length;
      equal(kinds[0], 'paid');
      equal((await world.report()).mostUnderWay, 1);
      equal(session.snapshot().unanswered, undefined);
      equal(session.snapshot().undelivered, undefined);
      equal(await loop.ended, { kind: 'stopped' });
      equal(kinds.length, seen);
    },
  },
  {
    name: 'keeps the clock through failures for now, and ends it with one for good or an abort',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const session = await open(world, 'live', { client: world.client({ maxWaitMs: 0 }) });
      await world.tell({
        do: 'script',
        signer: [lost, { status: 503 }, 'forward', { status: 403 }],
      });
      const failures: string[] = [];
      const onFailure = (error: Error): void => void failures.push(error.name);
      const { kind, ...end } = await session.start({ everyMs: 10, onFailure }).ended;
      equal(kind, 'failed');
      ok('error' in end && end.error instanceof SignerRefusalError, 'the refusal is told');
      equal(failures, ['SignerUnreachableError', 'SignerRefusalError']);
      const other = await open(world, 'live');
      const aborted = new AbortController();
      const loop = other.start({
        everyMs: 10,
        signal: aborted.signal,
        onOutcome: () => aborted.abort(),
      });
      equal(await loop.ended, { kind: 'aborted' });
    },
  },
  {
    name: 'takes a payment along with a request of your own',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const session = await open(world, 'fixed');
      const url = `${world.orchestratorUrl('fixed')}/apps/runner/app/echo`;
      let answer = '';
      const { kind } = await session.pay({
        send: async ({ headers }) => {
          const response = await fetch(url, { method: 'POST', headers, body: 'hello' });
          answer = await response.text();
          return undefined;
        },
      });
      equal([kind, answer], ['paid', 'hello']);
      equal((await accepted(world)).payments, 1);
    },
  },
  {
    name: 'refuses what is no snapshot, no challenge and no info',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const client = world.client();
      for (const snapshot of [null, {}, { version: 2 }, { version: 1, type: 'live' }]) {
        await failure(
          Promise.resolve().then(() =>
            resumePaymentSession({ client, snapshot: snapshot as unknown as SessionSnapshot }),
          ),
          TypeError,
        );
      }
      await failure(
        Promise.resolve().then(() =>
          createPaymentSession({ client, type: 'live', orchestrator: '!' }),
        ),
        TypeError,
      );
      for (const answer of [
        new Response('{"payment_params":"AA=="}', { status: 402 }),
        new Response('{"payment_params":"AA==","manifest_id":"a","payment_url":"b"}'),
        new Response('no', { status: 500 }),
      ]) {
        await failure(readPaymentChallenge(answer), OrchestratorRefusalError);
      }
    },
  },
];

class Deadly extends Error {}

/** `Promise.withResolvers`, which Node 20 does not have. */
function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((given) => (resolve = given));
  return { promise, resolve };
}

const seenBefore = /already seen|fixed-price live runner sessions do not accept follow-up/;

/** As {@link accepted}; payments whose answer was lost are refused when they are sent again. */
async function acceptedButRepeats(world: World): Promise<{ payments: number; tickets: number }> {
  const { orchestrators } = await world.report();
  const all = Object.values(orchestrators);
  equal(
    all.flatMap(({ rejections }) => rejections).filter(({ reason }) => !seenBefore.test(reason)),
    [],
    'what was rejected',
  );
  equal(
    all.flatMap(({ droppedSessions }) => droppedSessions),
    [],
    'what was dropped',
  );
  return {
    payments: all.reduce((sum, { acceptedPayments }) => sum + acceptedPayments, 0),
    tickets: all.reduce((sum, { acceptedTickets }) => sum + acceptedTickets, 0),
  };
}
