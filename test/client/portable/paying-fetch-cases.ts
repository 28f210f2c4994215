import {
  createSignerClient,
  OrchestratorRefusalError,
  type PaidSession,
  payingFetch,
  SignerRefusalError,
} from 'livepeer-remote-signer-client';
import { type Case, equal, failure, ok } from './expect.ts';
import { type Step, World } from './lab-client.ts';

export const payingFetchCases: readonly Case[] = [
  {
    name: 'pays a runner that has a fixed price, and sends the request again',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const pay = payingFetch({ client: world.client(), type: 'fixed' });
      const url = `${world.orchestratorUrl('fixed')}/apps/runner/app/echo`;
      const answer = await pay(url, { method: 'POST', body: 'a dragon' });
      equal([answer.status, await answer.text()], [200, 'a dragon']);
      const again = await pay(new Request(url, { method: 'POST', body: 'another' }));
      equal(await again.text(), 'another');
      const fixed = await world.orchestrator('fixed');
      equal([fixed.acceptedPayments, fixed.rejections], [2, []]);
    },
  },
  {
    name: 'pays for work by time until the whole answer was read',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const pay = payingFetch({ client: world.client(), type: 'live', everyMs: 30 });
      const url = `${world.orchestratorUrl('live')}/apps/runner/app/paid/3`;
      // a second goes by with every payment, so that the next one is due
      const seconds = setInterval(() => void world.tell({ do: 'advance', seconds: 3 }), 40);
      try {
        const answer = await pay(url, { method: 'POST' });
        equal(await answer.text(), 'paid 1\npaid 2\npaid 3\n');
      } finally {
        clearInterval(seconds);
      }
      await world.tell({ do: 'advance', seconds: 0 });
      const before = (await world.report()).requests.length;
      await new Promise((resolve) => setTimeout(resolve, 100));
      const { requests } = await world.report();
      equal(requests.length, before, 'requests after the end of the answer');
      equal((await world.orchestrator('live')).rejections, []);
    },
  },
  {
    name: 'stops paying when the body is cancelled, and fails it when payments fail',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const client = world.client();
      const pay = payingFetch({ client, type: 'live', everyMs: 20 });
      const url = `${world.orchestratorUrl('live')}/apps/runner/app/paid/100`;
      const cancelled = await pay(url, { method: 'POST' });
      await cancelled.body?.cancel();
      const before = (await world.paymentRequests()).length;
      await new Promise((resolve) => setTimeout(resolve, 80));
      equal((await world.paymentRequests()).length, before, 'requests after the cancellation');

      await world.tell({ do: 'script', signer: ['forward', { status: 403, body: 'no more' }] });
      const failed = await pay(url, { method: 'POST' });
      const error = await failure(readAll(failed), SignerRefusalError);
      equal(error.status, 403);
    },
  },
  {
    name: 'hands the payments of a reserved session over',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const taken: PaidSession[] = [];
      const pay = payingFetch({
        client: world.client(),
        type: 'live',
        everyMs: 20,
        onSession: (paid) => taken.push(paid),
      });
      const url = `${world.orchestratorUrl('live')}/apps/runner/session`;
      const answer = await pay(url, { method: 'POST' });
      const { session_id: sessionId } = (await answer.json()) as { session_id: string };
      const [paid, ...others] = taken;
      equal([paid?.session.manifestId, others], [sessionId, []]);
      await world.tell({ do: 'advance', seconds: 9 });
      for (let payments = 0; payments < 2;) {
        ({ acceptedPayments: payments } = await world.orchestrator('live'));
      }
      equal(await paid?.payments?.stop(), { kind: 'stopped' });
      equal((await world.orchestrator('live')).rejections, []);
    },
  },
  {
    name: 'fetches another challenge when the first one is too old',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      await world.tell({ do: 'age-terms', isOn: true });
      const client = world.client();
      const pay = payingFetch({
        client,
        type: 'fixed',
        fetch: async (input, init) => {
          const answer = await fetch(input, init);
          await world.tell({ do: 'age-terms', isOn: false });
          return answer;
        },
      });
      const answer = await pay(`${world.orchestratorUrl('fixed')}/apps/runner/app/echo`, {
        method: 'POST',
        body: 'x',
      });
      equal(await answer.text(), 'x');
      // the orchestrator's clock of blocks was set forward twice
      const [first, second] = (await world.paymentRequests()).map(
        ({ body }) => (JSON.parse(body) as { orchestrator: string }).orchestrator,
      );
      ok(first !== second, 'the second request has other terms');
    },
  },
  {
    name: 'passes on what needs no payment, and refusals of the paid request',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const client = world.client();
      const pay = payingFetch({ client, type: 'fixed' });
      const free = await pay(`${world.orchestratorUrl('fixed')}/nothing-here`);
      equal(free.status, 404);
      await free.text();
      // payments of the wrong type: the runner's price is for an hour of work, so to say
      const wrong = payingFetch({ client, type: 'live', maxPrice: 1n });
      const url = `${world.orchestratorUrl('live')}/apps/runner/session`;
      equal((await failure(wrong(url, { method: 'POST' }), SignerRefusalError)).status, 481);
      const odd = payingFetch({
        client,
        type: 'fixed',
        fetch: () => Promise.resolve(new Response('pay!', { status: 402 })),
      });
      equal((await failure(odd(url), OrchestratorRefusalError)).status, 402);
    },
  },
  {
    name: 'rejects like fetch where the runner is unreachable, and when it is aborted',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const client = world.client();
      const pay = payingFetch({ client, type: 'fixed' });
      await failure(pay('http://127.0.0.1:1/apps/runner/session'), Error);
      const aborted = new AbortController();
      const hang: Step[] = ['hang'];
      await world.tell({ do: 'script', signer: hang });
      setTimeout(() => aborted.abort(new RangeError('enough')), 50);
      const url = `${world.orchestratorUrl('fixed')}/apps/runner/app/echo`;
      await failure(pay(url, { method: 'POST', signal: aborted.signal }), RangeError);
      const never = createSignerClient({ url: 'http://127.0.0.1:1', maxWaitMs: 0 });
      await failure(payingFetch({ client: never, type: 'fixed' })(url), Error);
    },
  },
];

/** As `text()`, but for the error, which stays what it is: Chromium's own says "Failed to fetch". */
async function readAll(answer: Response): Promise<void> {
  const reader = answer.body?.getReader();
  for (let isDone = reader === undefined; !isDone;) isDone = (await reader?.read())?.done ?? true;
}
