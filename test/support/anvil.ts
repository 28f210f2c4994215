import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import {
  type Address,
  type Hex,
  type RpcTransactionReceipt,
  type TransactionReceipt,
  createTestClient,
  formatTransactionReceipt,
  http,
  numberToHex,
  publicActions,
  walletActions,
} from 'viem';
import { foundry } from 'viem/chains';

/** A private development chain on this machine: it mines a block for each transaction, and only then. */
export type Anvil = {
  readonly url: string;
  readonly chainId: number;
  /**
   * viem's test, public and wallet actions in one: `mine`, `setBalance`, `impersonateAccount`, `getBalance`,
   * `readContract`, `sendTransaction` …
   */
  readonly client: ReturnType<typeof createClient>;
  /** ten accounts with 10,000 ETH each, for which the chain itself signs */
  readonly accounts: readonly Address[];
  /** Sends a transaction from any address whatever, without its key, and waits for it. Throws when it reverts. */
  sendAs(from: Address, transaction: AnvilTransaction): Promise<TransactionReceipt>;
  /** Gives an address this many wei more. */
  addBalance(address: Address, wei: bigint): Promise<void>;
  stop(): Promise<void>;
};

export type AnvilTransaction = {
  /** left out to make a contract */
  readonly to?: Address;
  readonly data?: Hex;
  readonly value?: bigint;
  /** estimated unless told */
  readonly gas?: bigint;
};

/** Answers with the receipt, once it is mined. */
type SendTransactionSync = {
  Method: 'eth_sendTransactionSync';
  Parameters: unknown[];
  ReturnType: RpcTransactionReceipt;
};

export type AnvilOptions = {
  /** 31337 unless told */
  readonly chainId?: number;
};

const startTimeoutMs = 60_000;

/** Starts a chain of its own on a free port. Throws, naming what to install, where anvil is missing. */
export async function startAnvil({ chainId = foundry.id }: AnvilOptions = {}): Promise<Anvil> {
  const anvil = spawn(
    findAnvil(),
    ['--host', '127.0.0.1', '--port', '0', '--chain-id', String(chainId)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const exited = new Promise<void>((resolve) => anvil.once('exit', () => resolve()));
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => {
      anvil.kill('SIGKILL');
      reject(new Error('anvil did not start'));
    }, startTimeoutMs);
    anvil.once('error', (error) =>
      reject(new Error('these tests need anvil: install Foundry', { cause: error })),
    );
    createInterface({ input: anvil.stdout }).on('line', (line) => {
      const [, address] = /^Listening on (\S+)$/.exec(line) ?? [];
      if (address === undefined) return;
      clearTimeout(timer);
      resolve(`http://${address}`);
    });
  });

  const client = createClient(url, chainId);
  return {
    url,
    chainId,
    client,
    accounts: await client.getAddresses(),
    async sendAs(from, transaction) {
      await client.impersonateAccount({ address: from });
      const { value, gas, ...rest } = transaction;
      const receipt = await client.request<SendTransactionSync>({
        method: 'eth_sendTransactionSync',
        params: [
          {
            from,
            ...rest,
            ...(value !== undefined && { value: numberToHex(value) }),
            ...(gas !== undefined && { gas: numberToHex(gas) }),
          },
        ],
      });
      if (receipt.status !== '0x1') throw new Error('the transaction reverted');
      return formatTransactionReceipt(receipt);
    },
    async addBalance(address, wei) {
      await client.setBalance({ address, value: (await client.getBalance({ address })) + wei });
    },
    stop: async () => {
      anvil.kill();
      await exited;
    },
  };
}

function createClient(url: string, chainId: number) {
  return createTestClient({
    chain: { ...foundry, id: chainId },
    mode: 'anvil',
    transport: http(url),
    pollingInterval: 10,
    cacheTime: 0,
  })
    .extend(publicActions)
    .extend(walletActions);
}

/** The program in test/tools; elsewhere than on Linux x64, the one on PATH. */
export function findAnvil(): string {
  try {
    const tools = createRequire(new URL('../tools/package.json', import.meta.url));
    const manifest = tools.resolve('@foundry-rs/anvil-linux-amd64/package.json');
    const program = join(dirname(manifest), 'bin', 'anvil');
    if (existsSync(program)) return program;
  } catch {
    // not for this platform
  }
  return 'anvil';
}
