import { decodeFunctionResult, encodeFunctionData, keccak256, parseAbi, toBytes } from 'viem';
import type { Address, Hex } from '../pm/bytes.ts';

/** The views that the signer reads; the names are the contracts' own. */
export const livepeerViews = parseAbi([
  'function getContract(bytes32 id) view returns (address)',
  'struct Sender { uint256 deposit; uint256 withdrawRound; }',
  'struct ReserveInfo { uint256 fundsRemaining; uint256 claimedInCurrentRound; }',
  'function getSenderInfo(address sender) view returns (Sender sender, ReserveInfo reserve)',
  'function lastInitializedRound() view returns (uint256)',
  'function blockHashForRound(uint256 round) view returns (bytes32)',
]);

/** The key by which the Controller knows a contract. */
export function contractId(contract: 'TicketBroker' | 'RoundsManager'): Hex {
  return keccak256(toBytes(contract));
}

const abi = livepeerViews;

/** A question to a contract that costs nothing, and how its answer is read. */
export type ContractView<Value> = {
  readonly name: string;
  readonly to: Address;
  readonly data: Hex;
  /** Throws when the bytes are no such answer. */
  decode(answer: Hex): Value;
};

/** The address of another contract, zero where the Controller knows none of that name. */
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
      return { ...account, reserve: reserve.fundsRemaining };
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
