import { decodeFunctionResult, encodeFunctionData, keccak256, parseAbi, toBytes } from 'viem';
import type { Address, Hex } from '../pm/bytes.ts';

/** The view functions that the signer calls; the names are the contracts' own. */
export const livepeerViews = parseAbi([
  'function getContract(bytes32 id) view returns (address)',
  'struct Sender { uint256 deposit; uint256 withdrawRound; }',
  'struct ReserveInfo { uint256 fundsRemaining; uint256 claimedInCurrentRound; }',
  'function getSenderInfo(address sender) view returns (Sender sender, ReserveInfo reserve)',
  'function lastInitializedRound() view returns (uint256)',
  'function blockHashForRound(uint256 round) view returns (bytes32)',
  'function getFirstTranscoderInPool() view returns (address)',
  'function getNextTranscoderInPool(address transcoder) view returns (address)',
  'function getTranscoder(address transcoder) view returns (uint256 lastRewardRound, uint256 rewardCut, uint256 feeShare, uint256 lastActiveStakeUpdateRound, uint256 activationRound, uint256 deactivationRound, uint256 activeCumulativeRewards, uint256 cumulativeRewards, uint256 cumulativeFees, uint256 lastFeeRound)',
  'function getServiceURI(address orchestrator) view returns (string)',
]);

/** The key by which the Controller knows a contract. */
export function contractId(
  contract: 'TicketBroker' | 'RoundsManager' | 'BondingManager' | 'ServiceRegistry',
): Hex {
  return keccak256(toBytes(contract));
}

const abi = livepeerViews;

/** A call of a contract's view function, and how its answer is decoded. */
export type ContractView<Value> = {
  readonly name: string;
  readonly to: Address;
  readonly data: Hex;
  /** Throws when the bytes are not such an answer. */
  decode(answer: Hex): Value;
};

/** The address of another contract; zero where the Controller knows none of that name. */
export function getContract(
  controller: Address,
  contract: Parameters<typeof contractId>[0],
): ContractView<string> {
  const functionName = 'getContract';
  return {
    name: functionName,
    to: controller,
    data: encodeFunctionData({ abi, functionName, args: [contractId(contract)] }),
    decode: (data) => decodeFunctionResult({ abi, functionName, data }),
  };
}

export type SenderInfo = {
  /** wei */
  readonly deposit: bigint;
  /** wei left in the reserve */
  readonly reserve: bigint;
  readonly claimedInRound: bigint;
  /** 0 when no unlock was asked for; a withdrawal leaves it set */
  readonly withdrawRound: bigint;
};

/** What a sender has in the TicketBroker. */
export function getSenderInfo(ticketBroker: Address, sender: Address): ContractView<SenderInfo> {
  const functionName = 'getSenderInfo';
  return {
    name: functionName,
    to: ticketBroker,
    data: encodeFunctionData({ abi, functionName, args: [sender] }),
    decode(data) {
      const [account, reserve] = decodeFunctionResult({ abi, functionName, data });
      const { fundsRemaining, claimedInCurrentRound } = reserve;
      return { ...account, reserve: fundsRemaining, claimedInRound: claimedInCurrentRound };
    },
  };
}

/** The newest round that tickets can be made in. */
export function lastInitializedRound(roundsManager: Address): ContractView<bigint> {
  const functionName = 'lastInitializedRound';
  return {
    name: functionName,
    to: roundsManager,
    data: encodeFunctionData({ abi, functionName }),
    decode: (data) => decodeFunctionResult({ abi, functionName, data }),
  };
}

/** The block hash of a round, 32 bytes; zero for one that was never initialized. */
export function blockHashForRound(roundsManager: Address, round: bigint): ContractView<string> {
  const functionName = 'blockHashForRound';
  return {
    name: functionName,
    to: roundsManager,
    data: encodeFunctionData({ abi, functionName, args: [round] }),
    decode: (data) => decodeFunctionResult({ abi, functionName, data }),
  };
}

/** The orchestrator with the most stake in the pool; zero when it is empty. */
export function getFirstTranscoderInPool(bondingManager: Address): ContractView<string> {
  const functionName = 'getFirstTranscoderInPool';
  return {
    name: functionName,
    to: bondingManager,
    data: encodeFunctionData({ abi, functionName }),
    decode: (data) => decodeFunctionResult({ abi, functionName, data }),
  };
}

/** The next orchestrator in the pool; zero after the last one, and for one that is not in the pool. */
export function getNextTranscoderInPool(
  bondingManager: Address,
  orchestrator: Address,
): ContractView<string> {
  const functionName = 'getNextTranscoderInPool';
  return {
    name: functionName,
    to: bondingManager,
    data: encodeFunctionData({ abi, functionName, args: [orchestrator] }),
    decode: (data) => decodeFunctionResult({ abi, functionName, data }),
  };
}

/** An orchestrator is active from the first round on until before the second. */
export type ActiveRounds = { readonly activationRound: bigint; readonly deactivationRound: bigint };

/** When an orchestrator is active. */
export function getTranscoder(
  bondingManager: Address,
  orchestrator: Address,
): ContractView<ActiveRounds> {
  const functionName = 'getTranscoder';
  return {
    name: functionName,
    to: bondingManager,
    data: encodeFunctionData({ abi, functionName, args: [orchestrator] }),
    decode(data) {
      const answer = decodeFunctionResult({ abi, functionName, data });
      return { activationRound: answer[4], deactivationRound: answer[5] };
    },
  };
}

/** The URI that an orchestrator has registered; '' when it has registered none. */
export function getServiceUri(
  serviceRegistry: Address,
  orchestrator: Address,
): ContractView<string> {
  const functionName = 'getServiceURI';
  return {
    name: functionName,
    to: serviceRegistry,
    data: encodeFunctionData({ abi, functionName, args: [orchestrator] }),
    decode: (data) => decodeFunctionResult({ abi, functionName, data }),
  };
}

/** Whether an answer is an address: contracts answer zero where there is none. */
export function isNonZero(address: Address | undefined): address is Address {
  return address !== undefined && BigInt(address) !== 0n;
}
