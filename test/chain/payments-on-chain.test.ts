import { parseEther } from 'viem';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/errors.ts';
import { expectError, expectPaid, masked503 } from '../payments/expectations.ts';
import { buildRequest, usualNow } from '../payments/request-builder.ts';
import { type Anvil, startAnvil } from '../support/anvil.ts';
import { type FaultyRpc, startFaultyRpc } from '../support/faulty-rpc.ts';
import { type LivepeerContracts, deployLivepeerContracts } from '../support/livepeer-contracts.ts';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { vectors } from '../vectors/vectors.ts';
import { soon } from '../support/soon.ts';
import { scrape } from '../telemetry/read-metrics.ts';

const ether = parseEther('1');
const maxAgeMs = 60_000;

let anvil: Anvil;
let contracts: LivepeerContracts;
let nodes: FaultyRpc[];

beforeAll(async () => {
  anvil = await startAnvil();
  contracts = await deployLivepeerContracts(anvil);
  await contracts.fundFor(vectors.key.address, ether, ether);
});
afterAll(() => anvil.stop());

beforeEach(async () => {
  nodes = await Promise.all([startFaultyRpc(anvil.url), startFaultyRpc(anvil.url)]);
});
afterEach(() => Promise.all(nodes.map((node) => node.close())));

async function startOnChain(chain: Record<string, unknown> = {}): Promise<TestSigner> {
  const signer = await startTestSigner({
    settings: {
      chain: {
        source: 'on-chain',
        chainId: 31_337,
        controller: contracts.controller,
        rpcUrls: nodes.map(({ url }) => url),
        refreshIntervalMs: 50,
        maxAgeMs,
        ...chain,
      },
    },
  });
  signer.now = usualNow;
  return signer;
}

function setFaults(fault: FaultyRpc['fault']): void {
  for (const node of nodes) node.fault = fault;
}

function warningsOf(signer: TestSigner): Record<string, unknown>[] {
  return signer.logLines.filter(({ level }) => level === 40);
}

type Parts = Readonly<Record<'key' | 'chain', { ready: boolean; code?: string; ageMs: number }>>;

async function readiness(signer: TestSigner) {
  const response = await fetch(`${signer.adminUrl}/readyz`);
  const { ready, parts } = (await response.json()) as { ready: boolean; parts: Parts };
  const {
    keys: [key],
  } = (await (await fetch(`${signer.adminUrl}/status`)).json()) as { keys: [{ chain: object }] };
  const chain = { ...key.chain, ...parts.chain };
  return { status: response.status, report: { ready, key: parts.key, chain } };
}

/** Of the facts, in milliseconds. */
function ageOf({ report: { chain } }: Awaited<ReturnType<typeof readiness>>): number {
  return chain.ageMs;
}

describe('payments with facts from the chain', () => {
  it('go on while no node answers and the facts are fresh, then stop with 503, and go on by themselves afterwards', async () => {
    const signer = await startOnChain();
    const request = await buildRequest();
    try {
      expectPaid(await signer.post(request));
      setFaults({ kind: 'down' });
      await soon(() => expect(warningsOf(signer)).toHaveLength(2));
      const metrics = await scrape(signer.adminUrl);
      for (const outcome of ['ok', 'failed']) {
        const labels = { dependency: 'chain', outcome };
        expect(
          metrics.sum('livepeer_hsm_signer_dependency_duration_seconds_count', labels),
        ).toBeGreaterThan(0);
      }
      const nowMs = performance.now();
      signer.elapsedMs = nowMs;
      const ageMs = ageOf(await readiness(signer));

      for (const atMs of [0, maxAgeMs / 2, maxAgeMs - 1]) {
        signer.elapsedMs = nowMs - ageMs + atMs;
        expectPaid(await signer.post(request));
        expect(await readiness(signer)).toMatchObject({ status: 200 });
      }

      for (const atMs of [maxAgeMs + 1, maxAgeMs * 100]) {
        signer.elapsedMs = nowMs - ageMs + atMs;
        signer.key.reset();
        const refusal = await signer.post(request);
        expectError(refusal, 503, masked503);
        expect(refusal.headers.get('Retry-After')).toBe('1');
        expect(signer.key.digests).toEqual([]);
        expect(signer.logLines.at(-1)).toMatchObject({
          code: 'CHAIN_FACTS_UNAVAILABLE',
          details: expect.stringContaining("chain.rpcUrls.1 can't be reached") as string,
        });
        expect(await readiness(signer)).toMatchObject({
          status: 503,
          report: { ready: false, key: { ready: true }, chain: { ready: false } },
        });
      }

      setFaults({ kind: 'none' });
      await soon(async () => expect((await signer.post(request)).status).toBe(200));
      expect(await readiness(signer)).toMatchObject({ status: 200, report: { ready: true } });
    } finally {
      await signer.close();
    }
  });

  it('wait for no node: none of them answers the question that is under way', async () => {
    const signer = await startOnChain({ requestTimeoutMs: 600_000, maxAgeMs: 600_000 });
    const request = await buildRequest();
    try {
      setFaults({ kind: 'hanging' });
      const asked = nodes.map(({ requests }) => requests.length);
      await soon(() => {
        for (const [index, { requests }] of nodes.entries()) {
          expect(requests.length).toBeGreaterThan(asked[index] ?? 0);
        }
      });
      const hanging = nodes.map(({ requests }) => requests.length);
      for (let payment = 0; payment < 20; payment += 1) expectPaid(await signer.post(request));
      expect(nodes.map(({ requests }) => requests.length)).toEqual(hanging);
      expect(warningsOf(signer)).toEqual([]);
    } finally {
      await signer.close();
    }
  });

  it('are refused to a sender without deposit, and to one that withdraws', async () => {
    const request = await buildRequest();
    const snapshot = await anvil.client.snapshot();
    await anvil.addBalance(vectors.key.address, ether);
    const unlock = { to: contracts.ticketBroker, data: '0xa69df4b5' } as const;
    const withdraw = { to: contracts.ticketBroker, data: '0x3ccfd60b' } as const;
    await anvil.sendAs(vectors.key.address, unlock);
    const signer = await startOnChain();
    const refused = 'remote signer could not check whether to refresh session: ';
    const unlocking = 'unable to validate sender: deposit and reserve is set to unlock soon';
    try {
      expectPaid(await signer.post(request));
      await contracts.nextRound();
      await soon(async () =>
        expectError(await signer.post(request), 400, `${refused}${unlocking}`),
      );
      await contracts.nextRound();
      await anvil.sendAs(vectors.key.address, withdraw);
      await soon(async () =>
        expect(await readiness(signer)).toMatchObject({ report: { chain: { depositWei: '0' } } }),
      );
      expectError(await signer.post(request), 400, `${refused}${unlocking}`);
    } finally {
      await signer.close();
      await anvil.client.revert({ id: snapshot });
    }
  });
});

describe('the signer', () => {
  it('refuses to start with a node of another chain', async () => {
    const start = startOnChain({ chainId: 42_161 });
    await expect(start).rejects.toThrow(ConfigError);
    await expect(start).rejects.toThrow(
      'chain.rpcUrls.0 is a node of chain 31337, and chain.chainId is 42161: correct one of them',
    );
  });

  it('tells operators what it knows of key and chain, and warns of a low deposit', async () => {
    const signer = await startOnChain({ lowDeposit: '1.5 ether', lowReserve: '0.5 ether' });
    try {
      const { status, report } = await readiness(signer);
      expect(status).toBe(200);
      expect(report).toMatchObject({
        ready: true,
        key: { ready: true },
        chain: {
          ready: true,
          ageMs: expect.any(Number) as number,
          l1Block: (await anvil.client.getBlockNumber()).toString(),
          round: expect.stringMatching(/^\d+$/) as string,
          depositWei: ether.toString(),
          reserveWei: ether.toString(),
          withdrawRound: '0',
          isDepositLow: true,
          isReserveLow: false,
          nodes: [{ name: 'chain.rpcUrls.0' }, { name: 'chain.rpcUrls.1' }],
        },
      });
      expect(warningsOf(signer)).toMatchObject([
        { msg: 'the deposit is low: fund it', wei: ether.toString() },
      ]);
    } finally {
      await signer.close();
    }
  });
});
