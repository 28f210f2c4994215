import { checksum } from 'ox/Address';
import {
  type PublicClient,
  BaseError,
  ContractFunctionRevertedError,
  ContractFunctionZeroDataError,
  ExecutionRevertedError,
  HttpRequestError,
  RpcRequestError,
  TimeoutError,
  WaitForTransactionReceiptTimeoutError,
  createPublicClient,
  fallback,
  formatEther,
  http,
  parseAbi,
} from 'viem';
import { ConfigError } from '../errors.ts';
import { type Address, type Hex, parseAddress } from '../pm/bytes.ts';
import { ChainError } from './facts.ts';
import { splitCredentials } from './json-rpc.ts';
import { contractId, livepeerViews } from './livepeer-contracts.ts';

/** A sender at the TicketBroker, as of one block; amounts in wei. */
export type SenderAccount = {
  readonly block: bigint;
  /** what the address itself holds: gas is paid from it */
  readonly balance: bigint;
  readonly deposit: bigint;
  readonly reserve: bigint;
  /** from this round on the funds can be withdrawn; 0 when no unlock was asked for */
  readonly withdrawRound: bigint;
  readonly currentRound: bigint;
};

/** What a transaction needs besides its call; fees in wei. */
export type TransactionEstimate = {
  readonly nonce: number;
  readonly gasLimit: bigint;
  readonly maxFeePerGas: bigint;
  readonly maxPriorityFeePerGas: bigint;
};

export type MinedTransaction = {
  readonly block: bigint;
  /** wei paid for gas */
  readonly fee: bigint;
};

/** The TicketBroker as a sender uses it. Every call goes to the network. */
export type TicketBrokerClient = {
  readonly chainId: number;
  readonly ticketBroker: Address;
  /** At `block`, or the newest one. Throws `CHAIN_FACTS_UNAVAILABLE`. */
  readAccount(sender: Address, block?: bigint): Promise<SenderAccount>;
  /**
   * Simulates the call. Throws `TRANSACTION_REVERTED` with the contract's reason, `ETHER_INSUFFICIENT` when the sender can't pay
   * for value and gas, and `CHAIN_FACTS_UNAVAILABLE`.
   */
  estimate(
    sender: Address,
    call: { readonly data: Hex; readonly value: bigint },
  ): Promise<TransactionEstimate>;
  /**
   * Sends the transaction. Throws `TRANSACTION_UNCONFIRMED`: even where the answer was an error, the network may have taken the
   * transaction.
   */
  broadcast(transaction: { readonly hash: Hex; readonly signed: Hex }): Promise<void>;
  /**
   * Waits until a block has the transaction. Throws `TRANSACTION_REVERTED`, and `TRANSACTION_UNCONFIRMED` when no block has it in
   * time.
   */
  waitForReceipt(hash: Hex, timeoutMs: number): Promise<MinedTransaction>;
};

export type TicketBrokerOptions = {
  readonly chainId: number;
  readonly controller: Address;
  /** nodes of the chain; those that don't answer at first are left out */
  readonly rpcUrls: readonly string[];
  readonly requestTimeoutMs: number;
};

const currentRoundView = parseAbi(['function currentRound() view returns (uint256)']);

const pollingIntervalMs = 500;

/**
 * Finds the TicketBroker through the Controller. Throws `CONFIG_INVALID` when a node is of another chain or has no Livepeer
 * contracts, and `CHAIN_FACTS_UNAVAILABLE` when none answers.
 */
export async function connectTicketBroker(
  options: TicketBrokerOptions,
): Promise<TicketBrokerClient> {
  const client = await createClient(options);
  const { chainId, controller } = options;
  const find = (contract: Parameters<typeof contractId>[0]): Promise<Address> =>
    findContract(client, controller, contract);
  const [ticketBroker, roundsManager] = await Promise.all([
    find('TicketBroker'),
    find('RoundsManager'),
  ]);

  return {
    chainId,
    ticketBroker,

    async readAccount(sender, block) {
      return asking('read the deposit', async () => {
        const blockNumber = block ?? (await client.getBlockNumber({ cacheTime: 0 }));
        const [balance, [{ deposit, withdrawRound }, { fundsRemaining: reserve }], currentRound] =
          await Promise.all([
            client.getBalance({ address: sender, blockNumber }),
            client.readContract({
              address: ticketBroker,
              abi: livepeerViews,
              functionName: 'getSenderInfo',
              args: [sender],
              blockNumber,
            }),
            client.readContract({
              address: roundsManager,
              abi: currentRoundView,
              functionName: 'currentRound',
              blockNumber,
            }),
          ]);
        return { block: blockNumber, balance, deposit, reserve, withdrawRound, currentRound };
      });
    },

    async estimate(sender, { data, value }) {
      return asking('prepare the transaction', async () => {
        const [balance, nonce, { baseFeePerGas }, maxPriorityFeePerGas] = await Promise.all([
          client.getBalance({ address: sender }),
          client.getTransactionCount({ address: sender, blockTag: 'pending' }),
          client.getBlock(),
          client.estimateMaxPriorityFeePerGas(),
        ]);
        assertHolds(sender, balance, value, 'gas not counted');
        const gas = await client.estimateGas({ account: sender, to: ticketBroker, data, value });
        // until the transaction is in a block, the base fee can double, and the call may need a quarter more gas
        const maxFeePerGas = 2n * (baseFeePerGas ?? 0n) + maxPriorityFeePerGas;
        const gasLimit = (gas * 5n) / 4n;
        const fee = gasLimit * maxFeePerGas;
        assertHolds(sender, balance, value + fee, `up to ${formatEther(fee)} of it for gas`);
        return { nonce, gasLimit, maxFeePerGas, maxPriorityFeePerGas };
      });
    },

    async broadcast({ hash, signed }) {
      try {
        await client.sendRawTransaction({ serializedTransaction: signed });
      } catch (error) {
        if (!(error instanceof BaseError)) throw error;
        // one node may have taken it before another one refused
        if (await isKnown(client, hash)) return;
        throw new ChainError(
          'TRANSACTION_UNCONFIRMED',
          `the network did not accept transaction ${hash}: ${reasonOf(error)}; it may have taken it all the same: ` +
            'look the hash up before you try again',
          { cause: error },
        );
      }
    },

    async waitForReceipt(hash, timeoutMs) {
      let receipt;
      try {
        receipt = await client.waitForTransactionReceipt({
          hash,
          timeout: timeoutMs,
          pollingInterval: pollingIntervalMs,
          checkReplacement: false,
        });
      } catch (error) {
        if (!(error instanceof BaseError)) throw error;
        const outcome =
          error instanceof WaitForTransactionReceiptTimeoutError
            ? `is in no block after ${timeoutMs / 1000} s`
            : `whether it is in a block is unknown: ${reasonOf(error)}`;
        throw new ChainError(
          'TRANSACTION_UNCONFIRMED',
          `transaction ${hash} was sent, but ${outcome}; look the hash up before you try again`,
          { cause: error },
        );
      }
      const { status, blockNumber: block, gasUsed, effectiveGasPrice } = receipt;
      if (status === 'reverted') {
        throw new ChainError(
          'TRANSACTION_REVERTED',
          `the TicketBroker refused transaction ${hash} in block ${block}; only its gas was paid`,
        );
      }
      return { block, fee: gasUsed * effectiveGasPrice };
    },
  };
}

/** Creates a client of the nodes that answer. */
async function createClient(options: TicketBrokerOptions): Promise<PublicClient> {
  const { chainId, rpcUrls, requestTimeoutMs: timeout } = options;
  const problems: string[] = [];
  const transports = await Promise.all(
    rpcUrls.map(async (rpcUrl, index) => {
      const name = `chain.rpcUrls.${index}`;
      const { target, headers } = splitCredentials(rpcUrl);
      const transport = http(target.href, { timeout, retryCount: 0, fetchOptions: { headers } });
      try {
        const answered = await createPublicClient({ transport }).getChainId();
        if (answered === chainId) return [transport];
        throw new ConfigError(
          'CONFIG_INVALID',
          `${name} is a node of chain ${answered}, and chain.chainId is ${chainId}: correct one of them`,
        );
      } catch (error) {
        if (!(error instanceof BaseError)) throw error;
        problems.push(`${name}: ${reasonOf(error)}`);
        return [];
      }
    }),
  );
  const answering = transports.flat();
  if (answering.length > 0) return createPublicClient({ transport: fallback(answering) });
  throw new ChainError('CHAIN_FACTS_UNAVAILABLE', `no node answers: ${problems.join('; ')}`, {
    retryable: true,
  });
}

async function findContract(
  client: PublicClient,
  controller: Address,
  contract: Parameters<typeof contractId>[0],
): Promise<Address> {
  const found = await asking('find the contracts', async () => {
    try {
      return await client.readContract({
        address: controller,
        abi: livepeerViews,
        functionName: 'getContract',
        args: [contractId(contract)],
      });
    } catch (error) {
      if (error instanceof BaseError && error.walk(isNoController)) return undefined;
      throw error;
    }
  });
  const address = found && parseAddress(found);
  if (address && BigInt(address) !== 0n) return address;
  throw new ConfigError(
    'CONFIG_INVALID',
    `chain.controller, ${controller}, knows no ${contract}: correct it`,
  );
}

/** Whether the error says that the contract at the Controller's address is missing, or is another one. */
function isNoController(error: unknown): boolean {
  return (
    error instanceof ContractFunctionZeroDataError || error instanceof ContractFunctionRevertedError
  );
}

function isKnown(client: PublicClient, hash: Hex): Promise<boolean> {
  return client.getTransaction({ hash }).then(
    () => true,
    () => false,
  );
}

function assertHolds(sender: Address, balance: bigint, needed: bigint, comment: string): void {
  if (balance >= needed) return;
  throw new ChainError(
    'ETHER_INSUFFICIENT',
    `${checksum(sender)} has ${formatEther(balance)} ether and needs ${formatEther(needed)} ether (${comment}): ` +
      `send it ${formatEther(needed - balance)} ether`,
  );
}

/** Turns what viem throws into our errors. */
async function asking<Result>(what: string, ask: () => Promise<Result>): Promise<Result> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof BaseError)) throw error;
    const reverted = error.walk((cause) => cause instanceof ExecutionRevertedError);
    if (reverted instanceof ExecutionRevertedError) {
      throw new ChainError(
        'TRANSACTION_REVERTED',
        `the TicketBroker refuses: ${revertReasonOf(reverted)}; nothing was sent`,
        { cause: error },
      );
    }
    throw new ChainError('CHAIN_FACTS_UNAVAILABLE', `can't ${what}: ${reasonOf(error)}`, {
      cause: error,
      retryable: true,
    });
  }
}

/** The contract's own message, where the node passes it on. */
function revertReasonOf(error: BaseError): string {
  const [, reason] = /with reason: (.+)\.$/s.exec(error.shortMessage) ?? [];
  return reason ?? 'it gives no reason';
}

/**
 * The reason of an error, without viem's whole message and without what the node's HTTP server wrote: both may show the URL,
 * which may hold an access key.
 */
function reasonOf(error: BaseError): string {
  const failed = error.walk(
    (cause) => cause instanceof HttpRequestError || cause instanceof TimeoutError,
  );
  if (failed instanceof TimeoutError) return 'no answer in time';
  if (failed instanceof HttpRequestError) {
    return failed.status === undefined
      ? "it can't be reached"
      : `it answered HTTP ${failed.status}`;
  }
  const answered = error.walk((cause) => cause instanceof RpcRequestError);
  const code = answered instanceof RpcRequestError ? ` (error ${answered.code})` : '';
  return `${error.shortMessage} ${error.details}${code}`;
}
