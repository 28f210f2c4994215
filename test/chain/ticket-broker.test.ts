import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { type Hex, keccak256, parseEther } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type TicketBrokerClient, connectTicketBroker } from '../../src/chain/ticket-broker.ts';
import { encodeBrokerCall } from '../../src/keys/broker-transaction.ts';
import type { Address } from '../../src/pm/bytes.ts';
import { type Anvil, startAnvil } from '../support/anvil.ts';
import { type LivepeerContracts, deployLivepeerContracts } from '../support/livepeer-contracts.ts';
import { readFunds } from './redemption.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('accounts of the ticket broker');

let anvil: Anvil;
let contracts: LivepeerContracts;

beforeAll(async () => {
  anvil = await startAnvil();
  contracts = await deployLivepeerContracts(anvil);
});
afterAll(() => anvil.stop());

type Answer = (response: ServerResponse) => void;

/** A node whose URL holds a secret, and what it does with the methods that are not simply passed on. */
async function startProxy() {
  /** given what the real node answered */
  const instead: Record<string, (ask: () => Promise<string>) => Promise<Answer>> = {};
  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    if (request.headers.authorization !== basicCredentials || request.url !== '/secret-path') {
      response.writeHead(403).end();
      return;
    }
    const { method } = JSON.parse(body) as { method: string };
    const ask = async (): Promise<string> => (await fetch(anvil.url, { ...post, body })).text();
    const handle = instead[method] ?? instead['*'];
    if (handle) (await handle(ask))(response);
    else response.end(await ask());
  }
  const server = createServer((request, response) => void serve(request, response)).listen(0);
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://user:secret-name@127.0.0.1:${port}/secret-path`, instead };
}

const basicCredentials = `Basic ${Buffer.from('user:secret-name').toString('base64')}`;
const post = { method: 'POST', headers: { 'Content-Type': 'application/json' } };
const hangUp: Answer = (response) => response.destroy();
const refuse = (message: string): Answer => {
  const error = { code: -32_000, message };
  return (response) => response.end(JSON.stringify({ jsonrpc: '2.0', id: 1, error }));
};

/** A busy machine's node answers within a minute. */
const connect = (...rpcUrls: string[]) => connectWithin(60_000, ...rpcUrls);

const connectWithin = (requestTimeoutMs: number, ...rpcUrls: string[]) =>
  connectTicketBroker({
    chainId: anvil.chainId,
    controller: contracts.controller.toLowerCase() as Address,
    rpcUrls,
    requestTimeoutMs,
  });

/** A signed transaction that adds 1 ether to the deposit of an account made for it. */
async function signFunding(client: TicketBrokerClient) {
  const account = privateKeyToAccount(`0x${random.hex(31)}01`);
  await anvil.addBalance(account.address, parseEther('2'));
  const sender = account.address.toLowerCase() as Address;
  const call = encodeBrokerCall({ name: 'fundDeposit', deposit: parseEther('1') });
  const { gasLimit: gas, ...estimate } = await client.estimate(sender, call);
  const signed = await account.signTransaction({
    type: 'eip1559',
    chainId: client.chainId,
    to: client.ticketBroker,
    gas,
    ...estimate,
    ...call,
  });
  return { sender, hash: keccak256(signed), signed };
}

async function failureOf(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  const error = await work.then(
    () => new Error('it succeeded'),
    (reason: unknown) => reason,
  );
  const { code, message } = error as { code: string; message: string };
  expect(message).not.toMatch(/secret|127\.0\.0\.1/);
  return { code, message };
}

describe('a client of the TicketBroker', () => {
  it('finds it through the Controller, and sends user name and password', async () => {
    const proxy = await startProxy();
    const client = await connect(proxy.url);
    expect(client.ticketBroker).toBe(contracts.ticketBroker.toLowerCase());
    const account = await client.readAccount(anvil.accounts[3] as Address);
    expect(account).toMatchObject({ balance: parseEther('10000'), deposit: 0n, currentRound: 2n });
  });

  it('goes on with the second node when the first one fails later', async () => {
    const proxy = await startProxy();
    const client = await connect(proxy.url, anvil.url);
    proxy.instead['*'] = () => Promise.resolve(hangUp);
    const { sender, ...transaction } = await signFunding(client);
    await client.broadcast(transaction);
    await client.waitForReceipt(transaction.hash, 60_000);
    expect(await client.readAccount(sender)).toMatchObject({ deposit: parseEther('1') });
  });

  it('takes a transaction for sent that the node has, although its answer was lost', async () => {
    const proxy = await startProxy();
    const client = await connect(proxy.url);
    const { sender, ...transaction } = await signFunding(client);
    let sent = 0;
    proxy.instead['eth_sendRawTransaction'] = async (ask) => {
      sent += 1;
      await ask();
      return hangUp;
    };
    await client.broadcast(transaction);
    const { block } = await client.waitForReceipt(transaction.hash, 60_000);
    expect(sent).toBeGreaterThan(0);
    expect(await client.readAccount(sender, block)).toMatchObject({ deposit: parseEther('1') });
  });

  it('says that a transaction may have been sent when the node refuses it', async () => {
    const proxy = await startProxy();
    const client = await connect(proxy.url);
    const { sender, ...transaction } = await signFunding(client);
    proxy.instead['eth_sendRawTransaction'] = () => Promise.resolve(refuse('nonce too low'));
    const { code, message } = await failureOf(client.broadcast(transaction));
    expect(code).toBe('TRANSACTION_UNCONFIRMED');
    expect(message).toContain(transaction.hash);
    expect(message).toContain('nonce too low');
    expect(message).toContain('look the hash up before you try again');
    expect((await readFunds(anvil, contracts, sender)).deposit).toBe(0n);
  });

  it('says that the outcome is unknown when the node fails while it waits', async () => {
    const proxy = await startProxy();
    const client = await connect(proxy.url);
    proxy.instead['*'] = () => Promise.resolve(hangUp);
    const hash: Hex = `0x${'12'.repeat(32)}`;
    const { code, message } = await failureOf(client.waitForReceipt(hash, 2_000));
    expect(code).toBe('TRANSACTION_UNCONFIRMED');
    expect(message).toContain(`transaction ${hash} was sent, but`);
  });

  it.each([
    ['hangs up', hangUp, "it can't be reached"],
    ['answers with an error', refuse('no more requests today'), 'no more requests today'],
    [
      'answers HTTP 401',
      ((response) => response.writeHead(401).end('secret-name')) satisfies Answer,
      'it answered HTTP 401',
    ],
    ['does not answer', (() => undefined) satisfies Answer, 'no answer in time', 500],
  ])('says so when its node %s', async (_, answer: Answer, says, within = 60_000) => {
    const proxy = await startProxy();
    proxy.instead['*'] = () => Promise.resolve(answer);
    const { code, message } = await failureOf(connectWithin(within, proxy.url));
    expect(code).toBe('CHAIN_FACTS_UNAVAILABLE');
    expect(message).toContain('no node answers: chain.rpcUrls.0: ');
    expect(message).toContain(says);
  });

  it('refuses nodes of another chain, also beside one of the right chain', async () => {
    const proxy = await startProxy();
    proxy.instead['eth_chainId'] = () =>
      Promise.resolve((response) =>
        response.end(JSON.stringify({ jsonrpc: '2.0', id: 1, result: '0x1' })),
      );
    const { code, message } = await failureOf(connect(anvil.url, proxy.url));
    expect(code).toBe('CONFIG_INVALID');
    expect(message).toContain('chain.rpcUrls.1 is a node of chain 1, and chain.chainId is 31337');
  });

  it('does not take a failing node for a wrong Controller', async () => {
    const proxy = await startProxy();
    proxy.instead['eth_call'] = () => Promise.resolve(hangUp);
    const { code, message } = await failureOf(connect(proxy.url));
    expect(code).toBe('CHAIN_FACTS_UNAVAILABLE');
    expect(message).toBe("can't find the contracts: it can't be reached");
  });
});
