import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Hex, encodeFunctionData, parseEther } from 'viem';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRpcEndpoint } from '../../src/chain/json-rpc.ts';
import { createOrchestratorReader } from '../../src/chain/read-orchestrators.ts';
import { type Address, parseAddress } from '../../src/pm/bytes.ts';
import { type Anvil, startAnvil } from '../support/anvil.ts';
import {
  type LivepeerContracts,
  deployLivepeerContracts,
  livepeerAbi,
} from '../support/livepeer-contracts.ts';

let anvil: Anvil;
let contracts: LivepeerContracts;
let orchestrators: Hex[];

beforeAll(async () => {
  anvil = await startAnvil();
  orchestrators = anvil.accounts.slice(1, 5);
  contracts = await deployLivepeerContracts(anvil, { orchestrators: orchestrators.slice(0, 3) });
  for (const [index, address] of orchestrators.entries()) {
    if (index !== 1) await setServiceUri(address, `https://${index}.example:8935`);
  }
});

afterAll(() => anvil.stop());

async function setServiceUri(from: Hex, serviceUri: string, registry = contracts.serviceRegistry) {
  const data = encodeFunctionData({
    abi: livepeerAbi,
    functionName: 'setServiceURI',
    args: [serviceUri],
  });
  await anvil.sendAs(from, { to: registry, data });
}

function toAddress(text: string): Address {
  const address = parseAddress(text);
  if (!address) throw new Error(`${text} is no address`);
  return address;
}

function endpointOf(url: string, name = 'chain.rpcUrls.0') {
  return createRpcEndpoint({ name, url, timeoutMs: 5_000 });
}

function createReader(urls = [anvil.url], serviceRegistry?: string) {
  return createOrchestratorReader({
    endpoints: urls.map((url, index) => endpointOf(url, `chain.rpcUrls.${index}`)),
    controller: toAddress(contracts.controller),
    serviceRegistry: serviceRegistry === undefined ? undefined : toAddress(serviceRegistry),
  });
}

const currentRound = () =>
  anvil.client.readContract({
    address: contracts.roundsManager,
    abi: livepeerAbi,
    functionName: 'lastInitializedRound',
  });

/** Counts the HTTP requests to the chain. */
async function startCountingProxy() {
  let requests = 0;
  const server = createServer((request, response) => {
    requests += 1;
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const answer = await fetch(anvil.url, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: Buffer.concat(chunks),
      });
      response.end(await answer.text());
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    takeRequests: () => [requests, (requests = 0)][0],
    [Symbol.dispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

const signal = new AbortController().signal;

describe('the orchestrators of the chain', () => {
  it('are those active in the round, with what they have registered', async () => {
    const reader = createReader();
    const before = await currentRound();
    const registered = ['', 'https://0.example:8935', 'https://2.example:8935'];
    expect((await reader.read(before, signal)).toSorted()).toEqual(registered);

    await contracts.registerOrchestrator(orchestrators[3] ?? '0x');
    expect((await reader.read(before, signal)).toSorted()).toEqual(registered);
    const next = await contracts.nextRound();
    expect((await reader.read(next, signal)).toSorted()).toEqual([
      ...registered,
      'https://3.example:8935',
    ]);

    await anvil.sendAs(orchestrators[3] ?? '0x', {
      to: contracts.bondingManager,
      data: encodeFunctionData({
        abi: livepeerAbi,
        functionName: 'unbond',
        args: [parseEther('1000')],
      }),
    });
    const last = await contracts.nextRound();
    expect((await reader.read(last, signal)).toSorted()).toEqual(registered);
  });

  it('are read in four requests once they are known, whatever their number', async () => {
    using proxy = await startCountingProxy();
    const reader = createReader([proxy.url]);
    const round = await currentRound();
    await reader.read(round, signal);
    // the Controller, the first of the pool, each one's successor, their terms, their URIs
    expect(proxy.takeRequests()).toBe(1 + 1 + 3 + 1 + 1);
    await reader.read(round, signal);
    expect(proxy.takeRequests()).toBe(4);
  });

  it('may have registered elsewhere', async () => {
    const other = await deployLivepeerContracts(anvil, { initialize: false });
    await setServiceUri(orchestrators[0] ?? '0x', 'https://ai.example', other.serviceRegistry);
    const reader = createReader([anvil.url], other.serviceRegistry);
    const uris = await reader.read(await currentRound(), signal);
    expect(uris.toSorted()).toEqual(['', '', 'https://ai.example']);
  });

  it('are read from the next node when one fails', async () => {
    const closed = 'http://127.0.0.1:1';
    const uris = await createReader([closed, anvil.url]).read(await currentRound(), signal);
    expect(uris).toHaveLength(3);
    await expect(createReader([closed]).read(1n, signal)).rejects.toMatchObject({
      code: 'CHAIN_FACTS_UNAVAILABLE',
      message:
        "the orchestrators can't be read: chain.rpcUrls.0 can't be reached: connection failed",
    });
  });

  it('are none that could be had where there are no contracts', async () => {
    const reader = createOrchestratorReader({
      endpoints: [endpointOf(anvil.url)],
      controller: toAddress(`0x${'12'.repeat(20)}`),
      serviceRegistry: undefined,
    });
    await expect(reader.read(1n, signal)).rejects.toThrow(
      'chain.rpcUrls.0 gave no valid answer to getContract',
    );
  });
});
