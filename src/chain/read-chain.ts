import { z } from 'zod';
import { ConfigError } from '../errors.ts';
import { type Address, type Hex, parseAddress, parseBytes32, zeroBytes32 } from '../pm/bytes.ts';
import { toCall } from './contract-calls.ts';
import { isArbitrum } from './arbitrum-one.ts';
import { ChainError, type ChainFacts } from './facts.ts';
import type { RpcCall, RpcEndpoint } from './json-rpc.ts';
import {
  type ContractView,
  blockHashForRound,
  getContract,
  getSenderInfo,
  isNonZero,
  lastInitializedRound,
} from './livepeer-contracts.ts';

/** What one node said at one moment. */
export type ChainView = {
  readonly ticketBroker: Address;
  readonly facts: Omit<ChainFacts, 'weiPerUsd'>;
  /** the chain's own block number, which on Arbitrum is not that of L1 */
  readonly blockNumber: bigint;
  /** `0x` and 64 hex digits */
  readonly blockHash: string;
  /** when that block was made, Unix seconds */
  readonly blockTime: bigint;
};

/** A node is of another chain than the one that was configured. */
export class WrongChainError extends ConfigError {}

export type ChainReader = {
  /**
   * Reads through the node: one HTTP request, two when a round has begun, four the first time. Throws `CONFIG_INVALID` when the
   * node is of another chain or the contracts are not there, and {@link ChainError} for everything else.
   */
  read(signal: AbortSignal): Promise<ChainView>;
};

export type ChainReaderOptions = {
  readonly chainId: number;
  readonly controller: Address;
  readonly sender: Address;
};

type Contracts = { readonly ticketBroker: Address; readonly roundsManager: Address };

/** Block and round numbers beyond this don't fit into what go-livepeer sends. */
const maxNumber = 2n ** 63n - 1n;

const quantity = z
  .string()
  .regex(/^0x[0-9a-fA-F]{1,16}$/)
  .transform(BigInt)
  .refine((value) => value <= maxNumber);

/**
 * `l1BlockNumber` is there on Arbitrum, and tickets expire by it; nodes of other chains leave it out. A node of an Arbitrum chain
 * that leaves it out can't be used: its own block numbers run far ahead of L1's, so all tickets would count as expired.
 */
const headerSchema = z.object({
  hash: z.string().regex(/^0x[0-9a-fA-F]{64}$/),
  number: quantity,
  l1BlockNumber: quantity.nullish(),
  timestamp: quantity,
});

const bytes = z.string().regex(/^0x(?:[0-9a-fA-F]{2})*$/);

/** Reads the sender's deposit, the round and the L1 block from one node. */
export function createChainReader(
  endpoint: RpcEndpoint,
  { chainId, controller, sender }: ChainReaderOptions,
): ChainReader {
  const { name } = endpoint;
  let contracts: Contracts | undefined;
  let knownRound: bigint | undefined;

  const malformed = (what: string): ChainError =>
    new ChainError('CHAIN_FACTS_UNAVAILABLE', `${name} gave no valid ${what}`, { retryable: true });

  function requireChain(answer: unknown): void {
    const answered = quantity.safeParse(answer).data;
    if (answered === undefined) throw malformed('chain id');
    if (answered === BigInt(chainId)) return;
    throw new WrongChainError(
      'CONFIG_INVALID',
      `${name} is a node of chain ${answered.toString()}, and chain.chainId is ${chainId}: correct one of them`,
    );
  }

  function decode<Value>(view: ContractView<Value>, answer: unknown): Value {
    const data = bytes.safeParse(answer).data as Hex | undefined;
    if (data === '0x') throw noContracts();
    try {
      if (data) return view.decode(data);
    } catch {
      // data that can't be decoded counts as no data
    }
    throw malformed(`answer to ${view.name}`);
  }

  function noContracts(): ConfigError {
    return new ConfigError(
      'CONFIG_INVALID',
      `${name} has no Livepeer contracts where chain.controller, ${controller}, says: correct it`,
    );
  }

  async function findContracts(signal: AbortSignal): Promise<Contracts> {
    const [answeredChain] = await endpoint.call([askChainId], signal);
    requireChain(answeredChain);
    const views = [
      getContract(controller, 'TicketBroker'),
      getContract(controller, 'RoundsManager'),
    ];
    const answers = await endpoint.call(
      views.map((view) => toCall(view)),
      signal,
    );
    const [ticketBroker, roundsManager] = views.map((view, index) =>
      parseAddress(decode(view, answers[index])),
    );
    if (!isNonZero(ticketBroker) || !isNonZero(roundsManager)) throw noContracts();
    return { ticketBroker, roundsManager };
  }

  return {
    async read(signal) {
      contracts ??= await findContracts(signal);
      const { ticketBroker, roundsManager } = contracts;
      const askSender = getSenderInfo(ticketBroker, sender);
      const askRound = lastInitializedRound(roundsManager);
      const askHash = (round: bigint) => blockHashForRound(roundsManager, round);

      // the block comes last: one that is made meanwhile is newer than what was read, never older
      const [answeredChain, answeredSender, answeredRound, latestBlock, hashOfKnown] =
        await endpoint.call(
          [
            askChainId,
            toCall(askSender),
            toCall(askRound),
            { method: 'eth_getBlockByNumber', params: ['latest', false] },
            ...(knownRound === undefined ? [] : [toCall(askHash(knownRound))]),
          ],
          signal,
        );
      requireChain(answeredChain);
      const header = headerSchema.safeParse(latestBlock).data;
      const l1Block = isArbitrum(chainId)
        ? header?.l1BlockNumber
        : (header?.l1BlockNumber ?? header?.number);
      if (!header || l1Block === undefined || l1Block === null) {
        throw malformed(header ? 'block: it has no l1BlockNumber' : 'block');
      }
      const { deposit, reserve, claimedInRound, withdrawRound } = decode(askSender, answeredSender);
      const round = decode(askRound, answeredRound);
      if (round > maxNumber) throw malformed('round');

      const [answeredHash] =
        round === knownRound
          ? [hashOfKnown]
          : await endpoint.call([toCall(askHash(round))], signal);
      const blockHash = parseBytes32(decode(askHash(round), answeredHash));
      if (!blockHash || blockHash === zeroBytes32) {
        throw new ChainError(
          'CHAIN_FACTS_UNAVAILABLE',
          `${name} has no block hash for round ${round.toString()}, so that tickets could not be redeemed; ` +
            'on a new chain, initialize a round first',
          { retryable: true },
        );
      }
      knownRound = round;
      return {
        ticketBroker,
        facts: {
          l1Block,
          round,
          deposit,
          reserve,
          claimedInRound,
          withdrawRound,
          lastInitializedRound: { round, blockHash },
        },
        blockNumber: header.number,
        blockHash: header.hash,
        blockTime: header.timestamp,
      };
    },
  };
}

const askChainId: RpcCall = { method: 'eth_chainId', params: [] };
