import {
  createSignerClient,
  decodeOrchestratorInfo,
  type LivePaymentResult,
  SignerRefusalError,
  SignerUnreachableError,
} from 'livepeer-remote-signer-client';
import { type Case, equal, failure, ok } from './expect.ts';
import { type Step, World } from './lab-client.ts';

const nobody = 'http://127.0.0.1:1';
const state = { State: 'c3RhdGU=', Sig: 'c2ln' };
const payment = { payment: 'cGF5bWVudA==', segCreds: 'c2VnQ3JlZHM=' };

/** What the signer answers, by go-livepeer and by livepeer/node, and what the client makes of it. */
const answers: readonly {
  readonly what: string;
  readonly step: Step;
  readonly result: LivePaymentResult | { readonly refusal: Partial<SignerRefusalError> };
}[] = [
  {
    what: "go-livepeer's payment",
    step: { status: 200, body: `${JSON.stringify({ ...payment, state })}\n` },
    result: { kind: 'payment', ...payment, state },
  },
  {
    what: "livepeer/node's payment, whose state has other keys",
    step: {
      status: 200,
      body: `${JSON.stringify({ ...payment, state: { state: 'c3RhdGU=', sig: 'c2ln' } })}\n`,
    },
    result: { kind: 'payment', ...payment, state: { state: 'c3RhdGU=', sig: 'c2ln' } },
  },
  {
    what: "go-livepeer's 480",
    step: {
      status: 480,
      headers: { 'Livepeer-Orchestrator-Url': 'https://orch.example.com:8935' },
      body: '{"error":{"message":"refresh session for remote signer"}}\n',
    },
    result: { kind: 'refresh-needed', orchestratorUrl: 'https://orch.example.com:8935' },
  },
  {
    what: "a webhook's 480, which names no orchestrator",
    step: { status: 480, body: '{"error":"refresh"}\n' },
    result: { kind: 'refresh-needed', orchestratorUrl: undefined },
  },
  {
    what: 'a 482',
    step: { status: 482, body: '{"error":{"message":"no tickets"}}\n' },
    result: { kind: 'nothing-due' },
  },
  {
    what: "go-livepeer's 481",
    step: {
      status: 481,
      headers: { 'X-Request-Id': '0a0b' },
      body: '{"error":{"message":"orchestrator price 2.000 exceeds request maxPrice ceiling 1.000"}}\n',
    },
    result: {
      refusal: {
        status: 481,
        message:
          'the signer answered 481: orchestrator price 2.000 exceeds request maxPrice ceiling 1.000',
        requestId: '0a0b',
      },
    },
  },
  {
    what: "livepeer/node's 403",
    step: { status: 403, body: '{"error":"authorization identity changed"}\n' },
    result: {
      refusal: {
        status: 403,
        message: 'the signer answered 403: authorization identity changed',
        requestId: undefined,
      },
    },
  },
  {
    what: 'a masked 500',
    step: { status: 500, body: '{"error":{"message":"Internal Server Error"}}\n' },
    result: { refusal: { status: 500, message: 'the signer answered 500: Internal Server Error' } },
  },
  {
    what: "a clearinghouse's 483, with a code",
    step: {
      status: 483,
      headers: { 'Livepeer-Signer-Code': 'AUTH_WEBHOOK_REJECTED' },
      body: '{"error":{"message":"insufficient balance","code":"insufficient_balance"}}\n',
    },
    result: {
      refusal: {
        status: 483,
        code: 'insufficient_balance',
        message: 'the signer answered 483: insufficient balance',
      },
    },
  },
  {
    what: 'a 404 in plain text',
    step: { status: 404, body: '404 page not found\n' },
    result: { refusal: { status: 404, message: 'the signer answered 404: 404 page not found' } },
  },
];

const answerCases: readonly Case[] = answers.map(({ what, step, result }) => ({
  name: `reads ${what}`,
  run: async (labUrl) => {
    const world = await World.open(labUrl);
    await world.tell({ do: 'script', signer: [step] });
    const asked = world.client().generateLivePayment({ type: 'live', orchestrator: 'AAAA' });
    if ('kind' in result) {
      equal(await asked, result);
      return;
    }
    const refusal = await failure(asked, SignerRefusalError);
    const { status, code, message, requestId } = refusal;
    equal({ status, code, message, requestId }, { code: undefined, ...result.refusal });
  },
}));

export const signerCases: readonly Case[] = [
  ...answerCases,
  {
    name: 'sends what go-livepeer and livepeer/node read',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      await world.tell({ do: 'script', signer: [{ status: 482 }, { status: 482 }] });
      const client = world.client({ headers: { 'X-Of-Mine': 'yes' }, credential: 'an API key' });
      await client.generateLivePayment({
        type: 'live',
        orchestrator: Uint8Array.of(255, 254, 253),
        manifestId: 'a1b2c3d4',
        app: 'an "app"',
        capabilities: Uint8Array.of(1),
        maxPrice: '12345678901234567890.125',
        state,
        idempotencyKey: 'key-1',
      });
      await client.generateLivePayment({ inPixels: 9_007_199_254_740_993n, orchestrator: 'AAAA' });
      const [first, second] = await world.paymentRequests();
      equal(
        first?.body,
        '{"orchestrator":"//79","ManifestID":"a1b2c3d4","app":"an \\"app\\"","capabilities":"AQ==",' +
          '"state":{"State":"c3RhdGU=","Sig":"c2ln"},"type":"live",' +
          '"maxPrice":{"price":12345678901234567890.125,"currency":"wei","unit":"seconds"}}',
      );
      equal(second?.body, '{"orchestrator":"AAAA","inPixels":9007199254740993}');
      equal(
        ['content-type', 'authorization', 'x-of-mine', 'idempotency-key'].map(
          (name) => first?.headers[name],
        ),
        ['application/json', 'Bearer an API key', 'yes', 'key-1'],
      );
      equal(second?.headers['idempotency-key'], undefined);
    },
  },
  {
    name: 'refuses a maxPrice that is no decimal number',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      for (const maxPrice of ['', '1e3', '-1', '0x10', '1,"evil":1', '01']) {
        await failure(
          world.client().generateLivePayment({ type: 'live', orchestrator: 'AAAA', maxPrice }),
          TypeError,
        );
      }
      equal(await world.paymentRequests(), []);
    },
  },
  {
    name: 'asks who pays once, and again when told to',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const client = world.client();
      const { address, signature } = await client.signOrchestratorInfo();
      ok(/^0x[0-9a-fA-F]{40}$/.test(address) && signature.length === 132, 'the signer tells both');
      equal(await client.signOrchestratorInfo(), { address, signature });
      equal((await world.report()).requests.length, 1);
      await client.signOrchestratorInfo({ fresh: true });
      equal((await world.report()).requests.length, 2);
    },
  },
  {
    name: 'asks for the credential before every request',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      let minted = 0;
      const client = world.client({ credential: () => Promise.resolve(`token-${++minted}`) });
      await client.signOrchestratorInfo();
      await client.signOrchestratorInfo({ fresh: true });
      const { requests } = await world.report();
      equal(
        requests.map(({ headers }) => headers['authorization']),
        ['Bearer token-1', 'Bearer token-2'],
      );
    },
  },
  {
    name: 'says that the signer is unreachable, after as many tries as there is time for',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      let tries = 0;
      const client = createSignerClient({
        url: nobody,
        maxWaitMs: 800,
        random: () => 0,
        fetch: (input, init) => {
          tries += 1;
          return fetch(input, init);
        },
      });
      const error = await failure(client.signOrchestratorInfo(), SignerUnreachableError);
      ok(error.message.includes(nobody), 'the message names the address');
      equal(tries, 3);
      const hanging = world.client({ timeoutMs: 50 });
      await world.tell({ do: 'script', signer: ['hang'] });
      const asked = hanging.generateLivePayment({ type: 'live', orchestrator: 'AAAA' });
      const late = await failure(asked, SignerUnreachableError);
      ok(late.message.includes('in 50 ms'), 'the message tells the time');
    },
  },
  {
    name: 'can be aborted, before, during and between tries',
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      await world.tell({ do: 'script', signer: ['hang'] });
      const reason = new RangeError('enough');
      const client = world.client();
      const request = { type: 'live', orchestrator: 'AAAA' } as const;
      const before = AbortSignal.abort(reason);
      await failure(client.generateLivePayment({ ...request, signal: before }), RangeError);
      const during = new AbortController();
      const asked = client.generateLivePayment({ ...request, signal: during.signal });
      setTimeout(() => during.abort(reason), 20);
      await failure(asked, RangeError);
      const between = new AbortController();
      const unreachable = createSignerClient({ url: nobody });
      setTimeout(() => between.abort(reason), 100);
      await failure(unreachable.signOrchestratorInfo({ signal: between.signal }), RangeError);
    },
  },
  {
    name: 'finds runners, and rounds no price',
    run: async () => {
      let asked = '';
      const client = createSignerClient({
        url: 'http://signer.example/under/a/path',
        fetch: (input) => {
          asked = input instanceof Request ? input.url : String(input);
          return Promise.resolve(
            new Response(`[
              {"address":"https://o1.example:8935","score":1,"capabilities":["live-video-to-video/scope"],
               "last_seen":"2026-11-26T00:00:00Z","runners":[
                 {"url":"https://o1.example:8935/apps/r1/session","app":"echo","mode":"persistent","capacity":4,
                  "capacity_used":1,"capacity_available":3,"gpu":{"id":"0","name":"H100 \\"80 GB\\" 1e9","vram_mb":81559},
                  "price_info":{"price":900719925474099312345,"currency":"wei","unit":"seconds"}},
                 {"url":"https://o1.example:8935/apps/r2/app/","app":"echo","capacity":1,"capacity_used":0,
                  "capacity_available":1,"price_info":{"price":0.25,"currency":"wei","unit":"720p-pixel-seconds"}},
                 {"app":"no url"}]},
              {"score":1}, 7]`),
          );
        },
      });
      const filter = { app: ['echo', 'b c'], gpu: 'H100', caps: 'live-video-to-video/scope' };
      const found = await client.discoverOrchestrators(filter);
      equal(
        asked,
        'http://signer.example/under/a/path/discover-orchestrators' +
          '?app=echo&app=b+c&gpu=H100&caps=live-video-to-video%2Fscope',
      );
      const [first, second, ...others] = found.flatMap(({ runners }) => runners);
      equal(others, []);
      equal(
        [first?.mode, first?.capacityAvailable, first?.gpu],
        ['persistent', 3, { name: 'H100 "80 GB" 1e9', vramMb: 81559 }],
      );
      const units = { currency: 'wei', unit: 'seconds', type: 'live' } as const;
      equal(first?.price, { price: '900719925474099312345', ...units });
      equal([second?.price?.price, second?.price?.type], ['0.25', 'lv2v']);
      equal(
        found.map(({ url, score, capabilities }) => ({ url, score, capabilities })),
        [{ url: 'https://o1.example:8935', score: 1, capabilities: ['live-video-to-video/scope'] }],
      );
    },
  },
  {
    name: 'waits when discovery is not ready, and says so when there is none',
    run: async () => {
      const steps = [
        new Response('{"error":{"message":"Service Unavailable Error"}}', {
          status: 503,
          headers: { 'Retry-After': '0' },
        }),
        new Response('[]'),
        new Response('404 page not found\n', { status: 404 }),
        new Response('{}'),
      ];
      const client = createSignerClient({
        url: 'http://signer.example',
        maxWaitMs: 0,
        random: () => 0,
        fetch: () => Promise.resolve(steps.shift() ?? Response.error()),
      });
      equal(await client.discoverOrchestrators(), []);
      equal((await failure(client.discoverOrchestrators(), SignerRefusalError)).status, 404);
      await failure(client.discoverOrchestrators(), SignerUnreachableError);
    },
  },
  {
    name: "reads an orchestrator's info, and refuses what is none",
    run: async (labUrl) => {
      const world = await World.open(labUrl);
      const { paymentParams, manifestId } = await world.challenge('live', world.client());
      const info = decodeOrchestratorInfo(paymentParams);
      equal(
        [info.transcoder, info.address, info.pricePerUnit, info.pixelsPerUnit, info.sessionId],
        [
          world.orchestratorUrl('live'),
          '0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc',
          1_000_000n,
          1n,
          manifestId,
        ],
      );
      // the last price wins, negative numbers have ten bytes, and fields that are not known are skipped
      const odd = Uint8Array.of(
        ...[0x1a, 0x04, 0x08, 0x05, 0x10, 0x01],
        ...[0x1a, 0x0b, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ...[0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4],
      );
      const { pricePerUnit, pixelsPerUnit, sessionId } = decodeOrchestratorInfo(odd);
      equal([pricePerUnit, pixelsPerUnit, sessionId], [-1n, 1n, '']);
      const broken = [
        '%',
        'Cg==',
        Uint8Array.of(0x0a, 0x05, 0x61),
        Uint8Array.of(0x0a, 0x01, 0xff),
        Uint8Array.of(0x0b),
        Uint8Array.of(...Array<number>(12).fill(0xff)),
      ];
      for (const bytes of broken) {
        await failure(
          Promise.resolve().then(() => decodeOrchestratorInfo(bytes)),
          TypeError,
        );
      }
    },
  },
];
