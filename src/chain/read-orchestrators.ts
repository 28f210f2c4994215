import { type Address, parseAddress } from '../pm/bytes.ts';
import { askViews } from './contract-calls.ts';
import { ChainError } from './facts.ts';
import type { RpcEndpoint } from './json-rpc.ts';
import {
  getContract,
  getFirstTranscoderInPool,
  getNextTranscoderInPool,
  getServiceUri,
  getTranscoder,
  isNonZero,
} from './livepeer-contracts.ts';

/** Reads the orchestrators from the chain. */
export type OrchestratorReader = {
  /**
   * The service URIs of the orchestrators that are active in a round, as they have registered them, in the order of the pool, which is
   * that of their stakes. The first node that can answer is believed. Throws {@link ChainError} when none can.
   */
  read(round: bigint, signal: AbortSignal): Promise<readonly string[]>;
};

export type OrchestratorReaderOptions = {
  /** asked in turn */
  readonly endpoints: readonly RpcEndpoint[];
  readonly controller: Address;
  /** a ServiceRegistry to be used instead of the Controller's */
  readonly serviceRegistry: Address | undefined;
};

/** Far more than the pool holds. */
const maxPool = 500;

/** Creates a reader, which asks the endpoints in turn. */
export function createOrchestratorReader(options: OrchestratorReaderOptions): OrchestratorReader {
  const { endpoints, controller } = options;
  /**
   * The pool is a linked list. To follow it with few requests, the members of last time are all asked for their successors at
   * once.
   */
  let known: readonly Address[] = [];

  async function readFrom(
    endpoint: RpcEndpoint,
    round: bigint,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const contracts = await askViews(
      endpoint,
      [getContract(controller, 'BondingManager'), getContract(controller, 'ServiceRegistry')],
      signal,
    );
    const [bondingManager, registered] = contracts.map((address) => parseAddress(address));
    const serviceRegistry = options.serviceRegistry ?? registered;
    if (!isNonZero(bondingManager) || !isNonZero(serviceRegistry)) {
      throw new ChainError(
        'CHAIN_FACTS_UNAVAILABLE',
        `${endpoint.name}: the Controller, ${controller}, knows no BondingManager or no ServiceRegistry`,
      );
    }
    known = await readPool(endpoint, bondingManager, signal);
    const terms = await askViews(
      endpoint,
      known.map((address) => getTranscoder(bondingManager, address)),
      signal,
    );
    const active = known.filter((_address, index) => {
      const { activationRound = 0n, deactivationRound = 0n } = terms[index] ?? {};
      return activationRound <= round && round < deactivationRound;
    });
    return askViews(
      endpoint,
      active.map((address) => getServiceUri(serviceRegistry, address)),
      signal,
    );
  }

  async function readPool(
    endpoint: RpcEndpoint,
    bondingManager: Address,
    signal: AbortSignal,
  ): Promise<readonly Address[]> {
    const ask = (views: Parameters<typeof askViews<string>>[1]) =>
      askViews(endpoint, views, signal).then((answers) =>
        answers.map((text) => parseAddress(text)),
      );
    const [first, ...successors] = await ask([
      getFirstTranscoderInPool(bondingManager),
      ...known.map((address) => getNextTranscoderInPool(bondingManager, address)),
    ]);
    const successorOf = new Map(known.map((address, index) => [address, successors[index]]));
    const pool = new Set<Address>();
    let current = first;
    while (isNonZero(current) && !pool.has(current) && pool.size < maxPool) {
      pool.add(current);
      current = successorOf.has(current)
        ? successorOf.get(current)
        : (await ask([getNextTranscoderInPool(bondingManager, current)]))[0];
    }
    return [...pool];
  }

  return {
    async read(round, signal) {
      const problems: string[] = [];
      for (const endpoint of endpoints) {
        try {
          return await readFrom(endpoint, round, signal);
        } catch (error) {
          if (!(error instanceof ChainError)) throw error;
          problems.push(error.message);
        }
      }
      throw new ChainError(
        'CHAIN_FACTS_UNAVAILABLE',
        `the orchestrators can't be read: ${problems.join('; ')}`,
        { retryable: true },
      );
    },
  };
}
