import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Hex,
  encodeFunctionData,
  getAddress,
  keccak256,
  parseEther,
  serializeTransaction,
} from 'viem';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseSeconds, parseWei } from '../../src/cli/arguments.ts';
import { chainSection } from '../chain/chain-config.ts';
import { readFunds } from '../chain/redemption.ts';
import { readRecords } from '../guardrails/evidence.ts';
import { type Anvil, startAnvil } from '../support/anvil.ts';
import {
  type LivepeerContracts,
  deployLivepeerContracts,
  livepeerAbi,
} from '../support/livepeer-contracts.ts';
import { Cli, type Ended, Folder, devConfig, root, run } from './cli.ts';

const keySection = `keys:
  - provider: local-keystore
    path: keystore
    password: file:password
`;

let anvil: Anvil;
let contracts: LivepeerContracts;
let folder: Folder;
let config: string;
let address: Hex;
let snapshot: Hex;

beforeAll(async () => {
  anvil = await startAnvil();
  contracts = await deployLivepeerContracts(anvil, { roundLength: 50n });
  folder = new Folder();
  folder.write('password', 'a password');
  config = folder.write('signer.yaml', keySection + chainSection(anvil, contracts));
  const { stdout } = await run(['keys', 'new', '-c', config]);
  address = /^address (0x[0-9a-fA-F]{40})$/m.exec(stdout)?.[1] as Hex;
  await anvil.addBalance(address, parseEther('2'));
});
afterAll(async () => {
  await anvil.stop();
  folder[Symbol.dispose]();
});
beforeEach(async () => {
  snapshot = await anvil.client.snapshot();
});
afterEach(() => anvil.client.revert({ id: snapshot }));

const deposit = (...args: string[]): Promise<Ended> => run(['deposit', ...args, '-c', config]);

async function status(file = config): Promise<Record<string, unknown>> {
  const { stdout } = await run(['deposit', 'status', '--json', '-c', file]);
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** Runs the program on a terminal where somebody types `answer`. */
async function onTerminal(args: readonly string[], answer: string) {
  const program = [process.execPath, `${root}/src/cli/livepeer-hsm-signer.ts`, ...args];
  const command = program.map((word) => `'${word}'`).join(' ');
  const terminal = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let output = '';
  terminal.stdout.on('data', (chunk: Buffer) => {
    const wasAsked = output.includes('send it?');
    output += chunk.toString();
    if (!wasAsked && output.includes('send it?')) terminal.stdin.write(`${answer}\n`);
  });
  const status = await new Promise<number | null>((resolve) => terminal.once('close', resolve));
  return { status, output };
}

describe('deposit status', () => {
  it('prints a table', async () => {
    await contracts.fundFor(address, parseEther('0.25'), 1n);
    const block = await anvil.client.getBlockNumber();
    expect(await deposit('status')).toEqual({
      status: 0,
      signal: null,
      stderr: '',
      stdout: [
        `address       ${address}`,
        `chain         31337, block ${block}`,
        `TicketBroker  ${getAddress(contracts.ticketBroker)}`,
        'balance       2 ether',
        'deposit       0.25 ether',
        'reserve       0.000000000000000001 ether',
        'round         2',
        'state         locked',
        '',
      ].join('\n'),
    });
  });

  it('prints JSON with amounts in wei', async () => {
    await contracts.fundFor(address, parseEther('0.25'), 1n);
    expect(await status()).toEqual({
      address,
      chainId: 31337,
      block: `${await anvil.client.getBlockNumber()}`,
      ticketBroker: getAddress(contracts.ticketBroker),
      balanceWei: '2000000000000000000',
      depositWei: '250000000000000000',
      reserveWei: '1',
      currentRound: '2',
      withdrawRound: '0',
      state: 'locked',
    });
  });
});

describe('deposit fund', () => {
  it('shows the decoded transaction in a dry run, and sends nothing', async () => {
    const block = await anvil.client.getBlockNumber();
    const { status: code, stdout } = await deposit(
      ...['fund', '--deposit', '0.5ether', '--reserve', '30 gwei', '--dry-run'],
    );
    expect(code).toBe(0);
    const rows = Object.fromEntries(
      stdout.split('\n').map((line) => line.split(/ {2,}/) as [string, string]),
    );
    expect(rows).toMatchObject({
      chain: '31337',
      from: address,
      to: `${getAddress(contracts.ticketBroker)} (TicketBroker)`,
      call: 'fundDepositAndReserve, deposit 0.5 ether, reserve 0.00000003 ether',
      value: '0.50000003 ether',
      nonce: '0',
      data: `0x511f4073${word(parseEther('0.5'))}${word(30_000_000_000n)}`,
    });
    expect(rows['gas']).toMatch(/^\d+ at most, for 0\.000\d+ ether at most$/);
    expect(rows['fee']).toMatch(/^[\d.]+ gwei a gas at most, [\d.]+ gwei of it a tip$/);
    expect(stdout).toMatch(/^dry run: nothing was sent$/m);
    expect(await anvil.client.getBlockNumber()).toBe(block);
    expect(await anvil.client.getTransactionCount({ address, blockTag: 'pending' })).toBe(0);
  });

  it.each([
    ['--deposit', { deposit: parseEther('0.1'), reserve: 0n, withdrawRound: 0n }],
    ['--reserve', { deposit: 0n, reserve: parseEther('0.1'), withdrawRound: 0n }],
  ])('adds to one of the two: %s', async (option, funds) => {
    const { status: code, stdout } = await deposit('fund', option, '0.1ether', '--yes');
    expect(code).toBe(0);
    expect(await readFunds(anvil, contracts, address)).toEqual(funds);
    expect(stdout).toMatch(/^sending 0x[0-9a-f]{64}$/m);
    expect(stdout).toMatch(/^done in block \d+; gas cost 0\.0\d+ ether$/m);
    expect(stdout).toMatch(new RegExp(`^${option.slice(2)} +0.1 ether$`, 'm'));
  });

  it('has the digest of what it sends in the audit log, with what it was for', async () => {
    const audited = folder.write(
      'audited.yaml',
      `${keySection}${chainSection(anvil, contracts)}audit: { path: audit }\n`,
    );
    const sent = await run(['deposit', 'fund', '--deposit', '0.1ether', '--yes', '-c', audited]);
    expect(sent.status).toBe(0);
    const [, hash = ''] = /^sending (0x[0-9a-f]{64})$/m.exec(sent.stdout) ?? [];
    const found = await anvil.client.getTransaction({ hash: hash as Hex });
    const { chainId = 0, nonce, gas, to, value, input: data } = found;
    const { maxFeePerGas = 0n, maxPriorityFeePerGas = 0n } = found;
    const fees = { maxFeePerGas, maxPriorityFeePerGas };
    const unsigned = serializeTransaction({ chainId, nonce, gas, to, value, data, ...fees });
    const records = readRecords(join(folder.path, 'audit', 'cli'));
    const use = records.find(({ intent }) => intent === 'broker-transaction');
    expect(use).toMatchObject({
      kind: 'key-use',
      digests: [keccak256(unsigned).slice(2)],
      subject: { function: 'fundDeposit', chainId: `${chainId}` },
    });
    expect(records).toContainEqual(expect.objectContaining({ kind: 'signed', use: use?.['use'] }));
  });

  it('asks on a terminal, and sends only after a yes', async () => {
    const fund = ['deposit', 'fund', '--deposit', '0.1ether', '-c', config];
    const refused = await onTerminal(fund, 'n');
    expect(refused.status).toBe(1);
    expect(refused.output).toContain('nothing was sent');
    expect((await readFunds(anvil, contracts, address)).deposit).toBe(0n);
    const agreed = await onTerminal(fund, 'y');
    expect(agreed.status).toBe(0);
    expect((await readFunds(anvil, contracts, address)).deposit).toBe(parseEther('0.1'));
  });

  it.each([
    [['--deposit', '1ether'], 'nobody is there to confirm: give --yes'],
    [['--yes'], 'give --deposit, --reserve or both'],
    [['--yes', '--deposit', '1'], "argument '1' is invalid. Expected whole wei"],
  ])('ends with 2 for wrong usage: %j', async (args, says) => {
    const { status: code, stdout, stderr } = await deposit('fund', ...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(says);
    expect(await anvil.client.getTransactionCount({ address })).toBe(0);
  });

  it.each(['1', '0ether', '0.5wei', '-1ether', '1 eth', '1e18 wei', ''])(
    'takes only whole wei above 0 with their unit, and not %j',
    (text) => {
      expect(() => parseWei(text)).toThrow('Expected whole wei, more than 0, with the unit');
    },
  );

  it.each(['0', '-1', '1.5', '100000', 'x', ''])('waits for 1 to 99999 s, and not %j', (text) => {
    expect(() => parseSeconds(text)).toThrow('Expected seconds');
  });
});

describe('deposit unlock, cancel-unlock and withdraw', () => {
  it('go through the life of a deposit', async () => {
    await contracts.fundFor(address, parseEther('0.5'), parseEther('0.5'));
    const unlocked = await deposit('unlock', '--yes');
    expect(unlocked.stdout).toMatch(/^state +unlocking: can be withdrawn from round 4 on$/m);

    const tooEarly = await deposit('withdraw', '--yes');
    expect(tooEarly).toMatchObject({ status: 1, stdout: '' });
    expect(tooEarly.stderr).toBe(
      'livepeer-hsm-signer: the TicketBroker refuses: account is locked; nothing was sent [TRANSACTION_REVERTED]\n',
    );

    const cancelled = await deposit('cancel-unlock', '--yes');
    expect(cancelled.stdout).toMatch(/^state +locked$/m);

    await deposit('unlock', '--yes');
    await contracts.nextRound();
    await contracts.nextRound();

    const withdrawn = await deposit('withdraw', '--yes');
    expect(withdrawn.stdout).toMatch(/^state +unlocked since round 4: no ticket is redeemed/m);
    expect(await readFunds(anvil, contracts, address)).toMatchObject({ deposit: 0n, reserve: 0n });
    const balance = await anvil.client.getBalance({ address });
    expect(balance).toBeGreaterThan(parseEther('2.99'));
    expect(balance).toBeLessThan(parseEther('3'));
  });
});

describe('what can go wrong', () => {
  const fund = ['fund', '--deposit', '0.5ether', '--yes'];

  it('too little ether: says how much is missing', async () => {
    const { status: code, stderr } = await deposit('fund', '--deposit', '3ether', '--yes');
    expect(code).toBe(1);
    expect(stderr).toBe(
      `livepeer-hsm-signer: ${address} has 2 ether and needs 3 ether (gas not counted): send it 1 ether [ETHER_INSUFFICIENT]\n`,
    );
  });

  it('ether for the value, but none for gas', async () => {
    const { status: code, stderr } = await deposit('fund', '--deposit', '2ether', '--yes');
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /has 2 ether and needs 2\.000\d+ ether \(up to 0\.000\d+ of it for gas\)/,
    );
    expect(stderr).toContain('[ETHER_INSUFFICIENT]');
  });

  it('gas above --max-fee: nothing is sent', async () => {
    const { status: code, stderr } = await deposit(...fund, '--max-fee', '1gwei');
    expect(code).toBe(1);
    expect(stderr).toMatch(/may cost \d+ wei of gas, which exceeds the maximum of 1000000000 wei/);
    expect(stderr).toContain('[TRANSACTION_FEE_ABOVE_MAXIMUM]');
    expect(await anvil.client.getTransactionCount({ address })).toBe(0);
  });

  it('no block in time: tells the hash, and not to try again blindly', async () => {
    await anvil.client.setAutomine(false);
    try {
      const { status: code, stdout, stderr } = await deposit(...fund, '--wait', '1');
      expect(code).toBe(1);
      const [, hash = 'none'] = /^sending (0x[0-9a-f]{64})$/m.exec(stdout) ?? [];
      expect(stderr).toContain(`transaction ${hash} was sent, but is in no block after 1 s`);
      expect(stderr).toContain('[TRANSACTION_UNCONFIRMED]');
      await anvil.client.mine({ blocks: 1 });
      const { status: mined } = await anvil.client.getTransactionReceipt({ hash: hash as Hex });
      expect(mined).toBe('success');
    } finally {
      await anvil.client.setAutomine(true);
    }
  });

  it('a call that the contract refuses only in its block: says so, with the hash', async () => {
    await contracts.fundFor(address, 1n, 1n);
    const { client } = anvil;
    await client.setAutomine(false);
    try {
      const unlock = new Cli(['deposit', 'unlock', '--yes', '-c', config]);
      while (!unlock.stdout.includes('sending'))
        await once(unlock.child.stdout ?? unlock.child, 'data');
      while ((await client.getTxpoolStatus()).pending === 0) await delay(10);
      // goes first, since it pays more
      await client.sendTransaction({
        account: contracts.owner,
        to: contracts.controller,
        data: encodeFunctionData({ abi: livepeerAbi, functionName: 'pause' }),
        gas: 100_000n,
        maxPriorityFeePerGas: 50n * 10n ** 9n,
        maxFeePerGas: 60n * 10n ** 9n,
      });
      await client.mine({ blocks: 1 });
      const { status: code, stderr } = await unlock.ended();
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /the TicketBroker refused transaction 0x[0-9a-f]{64} in block \d+; only its gas/,
      );
      expect(stderr).toContain('[TRANSACTION_REVERTED]');
    } finally {
      await client.setAutomine(true);
    }
  });

  it('a node of another chain: refuses to start', async () => {
    const other = await startAnvil({ chainId: 1 });
    try {
      const file = folder.write(
        'other.yaml',
        keySection + chainSection({ url: other.url, chainId: 31337 }, contracts),
      );
      const { status: code, stderr } = await run(['deposit', ...fund, '-c', file]);
      expect(code).toBe(2);
      expect(stderr).toContain('chain.rpcUrls.0 is a node of chain 1, and chain.chainId is 31337');
    } finally {
      await other.stop();
    }
  });

  it.each([
    ['a Controller that is another contract', () => contracts.token],
    ['a Controller without code', () => address],
  ])('%s', async (_, findController) => {
    const controller = findController();
    const file = folder.write('controller.yaml', keySection + chainSection(anvil, { controller }));
    const { status: code, stderr } = await run(['deposit', 'status', '-c', file]);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /chain\.controller, 0x[0-9a-f]{40}, knows no (?:TicketBroker|RoundsManager): correct it/,
    );
  });

  it('no node that answers: says of each why', async () => {
    const down = createServer((_, response) => response.writeHead(503).end('secret-token')).listen(
      0,
    );
    try {
      const { port } = down.address() as AddressInfo;
      const urls = `["http://127.0.0.1:2/secret-token", "http://user:secret-token@127.0.0.1:${port}"]`;
      const section = chainSection(anvil, contracts).replace(/\[.*\]/, urls);
      const file = folder.write('down.yaml', keySection + section);
      const { status: code, stderr } = await run(['deposit', 'status', '-c', file]);
      expect(code).toBe(1);
      expect(stderr).toContain(
        "no node answers: chain.rpcUrls.0: it can't be reached; chain.rpcUrls.1: it answered HTTP 503",
      );
      expect(stderr).toContain('[CHAIN_FACTS_UNAVAILABLE]');
      expect(stderr).not.toContain('secret-token');
    } finally {
      down.close();
    }
  });

  it('a node that does not answer beside one that does: goes on', async () => {
    const section = chainSection(anvil, contracts).replace('["', '["http://127.0.0.1:2", "');
    const file = folder.write('failover.yaml', keySection + section);
    expect(await status(file)).toMatchObject({ address });
  });

  it('no chain at all', async () => {
    const file = folder.write('static.yaml', devConfig);
    const { status: code, stderr } = await run(['deposit', 'status', '-c', file]);
    expect(code).toBe(2);
    expect(stderr).toContain('chain.source is static');
  });
});

function word(value: bigint): string {
  return value.toString(16).padStart(64, '0');
}
