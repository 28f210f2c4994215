import { decodeFunctionResult, encodeFunctionData, parseAbi } from 'viem';
import type { Address } from '../pm/bytes.ts';
import type { ContractView } from './livepeer-contracts.ts';

/** The functions that are called of Chainlink's AggregatorV3Interface. */
const abi = parseAbi([
  'function description() view returns (string)',
  'function decimals() view returns (uint8)',
  'function latestRoundData() view returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)',
]);

/** The feed's pair, such as `ETH / USD`. */
export function description(feed: Address): ContractView<string> {
  const functionName = 'description';
  return {
    name: functionName,
    to: feed,
    data: encodeFunctionData({ abi, functionName }),
    decode: (data) => decodeFunctionResult({ abi, functionName, data }),
  };
}

/** How many decimal places the feed's answers have. */
export function decimals(feed: Address): ContractView<number> {
  const functionName = 'decimals';
  return {
    name: functionName,
    to: feed,
    data: encodeFunctionData({ abi, functionName }),
    decode: (data) => decodeFunctionResult({ abi, functionName, data }),
  };
}

/** A feed's answer; times are Unix seconds. */
export type RoundData = {
  readonly roundId: bigint;
  readonly answer: bigint;
  readonly updatedAt: bigint;
  readonly answeredInRound: bigint;
};

/** The latest answer of the feed. */
export function latestRoundData(feed: Address): ContractView<RoundData> {
  const functionName = 'latestRoundData';
  return {
    name: functionName,
    to: feed,
    data: encodeFunctionData({ abi, functionName }),
    decode(data) {
      const [roundId, answer, , updatedAt, answeredInRound] = decodeFunctionResult({
        abi,
        functionName,
        data,
      });
      return { roundId, answer, updatedAt, answeredInRound };
    },
  };
}
