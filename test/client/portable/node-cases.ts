import {
  createPaymentSession,
  createSignerClient,
  decodeOrchestratorInfo,
  OrchestratorRefusalError,
  OrchestratorUnreachableError,
  payingFetch,
  SignerUnreachableError,
} from 'livepeer-remote-signer-client';
import {
  getOrchestratorInfo,
  orchestratorFetch,
  orchestratorRefresh,
} from 'livepeer-remote-signer-client/node';
import { type Case, equal, failure } from './expect.ts';
import { World } from './lab-client.ts';

/** What needs TLS that is not verified, or gRPC: not for pages. */
export const nodeCases: readonly Case[] = [
  {
    name: "fetches an orchestrator's terms by gRPC, and pays by them over TLS",
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const client = world.client();
      for (const type of ['lv2v', 'live', 'fixed'] as const) {
        const url = await world.grpcUrl(type);
        const capabilities = 'CgEA';
        const info = await getOrchestratorInfo({
          client,
          url,
          ignoreCapacityCheck: true,
          ...(type === 'lv2v' && { capabilities }),
        });
        equal(decodeOrchestratorInfo(info).transcoder, world.orchestratorUrl(type));
        const session = createPaymentSession({
          client,
          type,
          orchestrator: info,
          // the lab's own address is plain HTTP; the orchestrator itself is asked
          send: async ({ headers }) => {
            const answer = await orchestratorFetch(`${url}/payment`, { method: 'POST', headers });
            equal([answer.status, answer.headers.get('content-type')], [200, null]);
            return undefined;
          },
        });
        equal((await session.pay()).kind, 'paid');
      }
      for (const type of ['lv2v', 'live', 'fixed'] as const) {
        equal((await world.orchestrator(type)).acceptedPayments, 1);
      }
    },
  },
  {
    name: 'refreshes by gRPC before the first payment, and keeps the id of a running session',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const client = world.client();
      for (const type of ['live', 'lv2v'] as const) {
        const url = await world.grpcUrl(type);
        await world.tell({ do: 'age-terms', isOn: true });
        const session = createPaymentSession({
          client,
          type,
          orchestrator: await getOrchestratorInfo({ client, url }),
          refresh: orchestratorRefresh({ url }),
        });
        await world.tell({ do: 'age-terms', isOn: false });
        equal((await session.pay()).refreshes, 1);
        const { manifestId } = session;
        await world.tell({ do: 'advance', seconds: 9 });
        await world.tell({ do: 'script', signer: [{ status: 480 }] });
        const outcome = await session.pay();
        equal([outcome.kind, outcome.refreshes], ['paid', 1]);
        equal(session.manifestId, manifestId);
      }
      for (const type of ['live', 'lv2v'] as const) {
        const { rejections, sessions } = await world.orchestrator(type);
        equal([rejections, sessions.length], [[], 1]);
      }
    },
  },
  {
    name: 'tells what an orchestrator says to a signature that is not by the address',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const client = world.client();
      const { signature } = await client.signOrchestratorInfo();
      const liar = {
        ...client,
        signOrchestratorInfo: () =>
          Promise.resolve({ address: `0x${'11'.repeat(20)}`, signature } as const),
      };
      const asked = getOrchestratorInfo({ client: liar, url: await world.grpcUrl('live') });
      const refusal = await failure(asked, OrchestratorRefusalError);
      equal([refusal.status, refusal.message.includes('sig check failed')], [2, true]);
    },
  },
  {
    name: 'says who is unreachable, and can be aborted',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const client = world.client();
      const nobody = 'https://127.0.0.1:1';
      await failure(getOrchestratorInfo({ client, url: nobody }), OrchestratorUnreachableError);
      await failure(orchestratorFetch(nobody), Error);
      const never = createSignerClient({ url: 'http://127.0.0.1:1', maxWaitMs: 0 });
      const url = await world.grpcUrl('live');
      await failure(getOrchestratorInfo({ client: never, url }), SignerUnreachableError);
      const reason = new RangeError('enough');
      const signal = AbortSignal.abort(reason);
      await failure(getOrchestratorInfo({ client, url, signal }), RangeError);
      await failure(orchestratorFetch(url, { signal }), RangeError);
      // an address that speaks no HTTP/2 and answers nothing that gRPC knows
      const plain = getOrchestratorInfo({ client, url: world.signerUrl, timeoutMs: 1_000 });
      await failure(plain, OrchestratorUnreachableError);
    },
  },
  {
    name: 'sends and receives bodies over TLS that is not verified',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const pay = payingFetch({ client: world.client(), type: 'fixed', fetch: orchestratorFetch });
      const url = `${await world.grpcUrl('fixed')}/apps/runner/app/echo`;
      const bytes = Uint8Array.from({ length: 100_000 }, (_, index) => index % 251);
      const answer = await pay(url, { method: 'POST', body: bytes });
      equal([...new Uint8Array(await answer.arrayBuffer())].join(), bytes.join());
      const none = await orchestratorFetch(`${await world.grpcUrl('fixed')}/none`, {
        method: 'HEAD',
      });
      equal([none.status, await none.text()], [404, '']);
    },
  },
];
