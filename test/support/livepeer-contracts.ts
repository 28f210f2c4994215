import { readFileSync } from 'node:fs';
import {
  type Abi,
  type Address,
  type Hex,
  encodeDeployData,
  encodeFunctionData,
  keccak256,
  parseAbi,
  parseEther,
  toBytes,
} from 'viem';
import { z } from 'zod';
import type { Anvil } from './anvil.ts';

/**
 * The real Livepeer contracts on a private chain: Controller, LivepeerToken, Minter, ServiceRegistry, and behind proxies BondingManager,
 * RoundsManager and TicketBroker, configured as on Arbitrum One (unlock and ticket validity period 2 rounds), unpaused,
 * in an initialized round, with orchestrators that may receive fees. They are the builds of npm `@livepeer/sdk`, whose
 * broker differs from Arbitrum One's in two ways: it takes 64-byte signatures, and funding by a third party cancels an unlock.
 */
export type LivepeerContracts = {
  readonly controller: Address;
  readonly ticketBroker: Address;
  readonly roundsManager: Address;
  readonly bondingManager: Address;
  readonly serviceRegistry: Address;
  readonly minter: Address;
  readonly token: Address;
  /** who owns the Controller: may pause it and set its contracts */
  readonly owner: Address;
  /** blocks in a round */
  readonly roundLength: bigint;
  /** Mines up to the next round and initializes it; returns its number. */
  nextRound(): Promise<bigint>;
  /** Mines up to the next round and leaves it as it is: until {@link initializeRound}, nothing is redeemed. */
  enterNextRound(): Promise<bigint>;
  /** Initializes the current round; returns its number. */
  initializeRound(): Promise<bigint>;
  /** Bonds LPT for the address and registers it; from the next round on it is active too, so that reserves pay it. */
  registerOrchestrator(address: Address): Promise<void>;
  /** Funds a sender from the owner's account, without its key (`fundDepositAndReserveFor`); wei. */
  fundFor(sender: Address, depositWei: bigint, reserveWei: bigint): Promise<void>;
};

export type LivepeerContractsOptions = {
  /** registered and active; the chain's second account unless told */
  readonly orchestrators?: readonly Address[];
  /** initialize round 1, and round 2 in which the orchestrators are active; true unless told */
  readonly initialize?: boolean;
  /** blocks, and so transactions, in a round; 200 unless told; a thousand take 2 s to mine */
  readonly roundLength?: bigint;
};

/** What tests call on the contracts. */
export const livepeerAbi = parseAbi([
  'struct Ticket { address recipient; address sender; uint256 faceValue; uint256 winProb; uint256 senderNonce; bytes32 recipientRandHash; bytes auxData; }',
  'struct Sender { uint256 deposit; uint256 withdrawRound; }',
  'struct ReserveInfo { uint256 fundsRemaining; uint256 claimedInCurrentRound; }',
  // Controller
  'function setContractInfo(bytes32 id, address contractAddress, bytes20 gitCommitHash)',
  'function getContract(bytes32 id) view returns (address)',
  'function pause()',
  'function unpause()',
  // LivepeerToken
  'function grantRole(bytes32 role, address account)',
  'function mint(address to, uint256 amount)',
  'function approve(address spender, uint256 amount)',
  // BondingManager
  'function setNumActiveTranscoders(uint256 count)',
  'function setUnbondingPeriod(uint64 rounds)',
  'function bond(uint256 amount, address to)',
  'function transcoder(uint256 rewardCut, uint256 feeShare)',
  'function isActiveTranscoder(address transcoder) view returns (bool)',
  'function pendingFees(address delegator, uint256 endRound) view returns (uint256)',
  'function unbond(uint256 amount)',
  // ServiceRegistry
  'function setServiceURI(string serviceURI)',
  // RoundsManager
  'function setRoundLength(uint256 blocks)',
  'function initializeRound()',
  'function currentRoundStartBlock() view returns (uint256)',
  'function currentRound() view returns (uint256)',
  'function lastInitializedRound() view returns (uint256)',
  'function blockHashForRound(uint256 round) view returns (bytes32)',
  // TicketBroker
  'function setUnlockPeriod(uint256 rounds)',
  'function setTicketValidityPeriod(uint256 rounds)',
  'function fundDeposit() payable',
  'function fundReserve() payable',
  'function fundDepositAndReserve(uint256 deposit, uint256 reserve) payable',
  'function fundDepositAndReserveFor(address sender, uint256 deposit, uint256 reserve) payable',
  'function unlock()',
  'function cancelUnlock()',
  'function withdraw()',
  'function redeemWinningTicket(Ticket ticket, bytes signature, uint256 recipientRand)',
  'function getTicketHash(Ticket ticket) pure returns (bytes32)',
  'function usedTickets(bytes32 ticketHash) view returns (bool)',
  'function getSenderInfo(address sender) view returns (Sender sender, ReserveInfo reserve)',
  'function claimedReserve(address holder, address claimant) view returns (uint256)',
  'function isUnlockInProgress(address sender) view returns (bool)',
  'event WinningTicketTransfer(address indexed sender, address indexed recipient, uint256 amount)',
  'event WinningTicketRedeemed(address indexed sender, address indexed recipient, uint256 faceValue, uint256 winProb, uint256 senderNonce, uint256 recipientRand, bytes auxData)',
  'event ReserveClaimed(address indexed reserveHolder, address claimant, uint256 amount)',
]);

const stake = parseEther('1000');

/** Deploys and configures the contracts; takes well under a second. */
export async function deployLivepeerContracts(
  anvil: Anvil,
  options: LivepeerContractsOptions = {},
): Promise<LivepeerContracts> {
  const { client } = anvil;
  const { roundLength = 200n } = options;
  const [owner, second] = anvil.accounts;
  if (!owner || !second) throw new Error('the chain has no accounts');

  const deploy = async (name: keyof typeof artifacts, ...args: unknown[]): Promise<Address> => {
    const { abi, bytecode } = readArtifact(name);
    return create(anvil, owner, encodeDeployData({ abi, bytecode, args }));
  };
  const call = async (to: Address, data: Hex, from = owner, value = 0n): Promise<void> => {
    await anvil.sendAs(from, { to, data, value });
  };

  const controller = await deploy('Controller');
  const register = (name: string, address: Address): Promise<void> =>
    call(
      controller,
      encodeFunctionData({
        abi: livepeerAbi,
        functionName: 'setContractInfo',
        args: [contractId(name), address, `0x${'00'.repeat(20)}`],
      }),
    );
  const deployBehindProxy = async (name: string, target: Address): Promise<Address> => {
    await register(`${name}Target`, target);
    const proxy = await deploy('ManagerProxy', controller, contractId(`${name}Target`));
    await register(name, proxy);
    return proxy;
  };

  const token = await deploy('LivepeerToken');
  await register('LivepeerToken', token);
  // inflation, its change a round and target bonding rate are of no account here
  const minter = await deploy('Minter', controller, 137n, 3n, 500_000n);
  await register('Minter', minter);
  await register('L2LPTDataCache', await create(anvil, owner, codeThatReturnsZero));

  const list = await deploy('SortedDoublyLL');
  const bondingManagerTarget = linkLibrary(readArtifact('BondingManager'), list);
  const bondingManager = await deployBehindProxy(
    'BondingManager',
    await create(anvil, owner, encodeDeployData({ ...bondingManagerTarget, args: [controller] })),
  );
  const roundsManager = await deployBehindProxy(
    'RoundsManager',
    await deploy('RoundsManager', controller),
  );
  const ticketBroker = await deployBehindProxy(
    'TicketBroker',
    await deploy('TicketBroker', controller),
  );
  await register('JobsManager', ticketBroker);
  const serviceRegistry = await deploy('ServiceRegistry', controller);
  await register('ServiceRegistry', serviceRegistry);

  const minterRole = keccak256(toBytes('MINTER_ROLE'));
  for (const account of [owner, minter]) {
    await call(
      token,
      encodeFunctionData({
        abi: livepeerAbi,
        functionName: 'grantRole',
        args: [minterRole, account],
      }),
    );
  }
  const setUp = [
    [
      bondingManager,
      encodeFunctionData({
        abi: livepeerAbi,
        functionName: 'setNumActiveTranscoders',
        args: [10n],
      }),
    ],
    [
      bondingManager,
      encodeFunctionData({ abi: livepeerAbi, functionName: 'setUnbondingPeriod', args: [7n] }),
    ],
    [
      roundsManager,
      encodeFunctionData({ abi: livepeerAbi, functionName: 'setRoundLength', args: [roundLength] }),
    ],
    [
      ticketBroker,
      encodeFunctionData({ abi: livepeerAbi, functionName: 'setUnlockPeriod', args: [2n] }),
    ],
    [
      ticketBroker,
      encodeFunctionData({ abi: livepeerAbi, functionName: 'setTicketValidityPeriod', args: [2n] }),
    ],
    [controller, encodeFunctionData({ abi: livepeerAbi, functionName: 'unpause' })],
  ] as const;
  for (const [to, data] of setUp) await call(to, data);

  const currentRound = () =>
    client.readContract({ address: roundsManager, abi: livepeerAbi, functionName: 'currentRound' });

  const contracts: LivepeerContracts = {
    controller,
    ticketBroker,
    roundsManager,
    bondingManager,
    serviceRegistry,
    minter,
    token,
    owner,
    roundLength,
    async enterNextRound() {
      const start = await client.readContract({
        address: roundsManager,
        abi: livepeerAbi,
        functionName: 'currentRoundStartBlock',
      });
      await client.mine({ blocks: Number(start + roundLength - (await client.getBlockNumber())) });
      return currentRound();
    },
    async initializeRound() {
      await call(
        roundsManager,
        encodeFunctionData({ abi: livepeerAbi, functionName: 'initializeRound' }),
      );
      return currentRound();
    },
    async nextRound() {
      await contracts.enterNextRound();
      return contracts.initializeRound();
    },
    async registerOrchestrator(address) {
      await anvil.addBalance(address, parseEther('10'));
      await call(
        token,
        encodeFunctionData({ abi: livepeerAbi, functionName: 'mint', args: [address, stake] }),
      );
      await call(
        token,
        encodeFunctionData({
          abi: livepeerAbi,
          functionName: 'approve',
          args: [bondingManager, stake],
        }),
        address,
      );
      await call(
        bondingManager,
        encodeFunctionData({ abi: livepeerAbi, functionName: 'bond', args: [stake, address] }),
        address,
      );
      await call(
        bondingManager,
        encodeFunctionData({
          abi: livepeerAbi,
          functionName: 'transcoder',
          args: [0n, 1_000_000n],
        }),
        address,
      );
    },
    async fundFor(sender, depositWei, reserveWei) {
      const data = encodeFunctionData({
        abi: livepeerAbi,
        functionName: 'fundDepositAndReserveFor',
        args: [sender, depositWei, reserveWei],
      });
      await call(ticketBroker, data, owner, depositWei + reserveWei);
    },
  };
  if (options.initialize ?? true) {
    await contracts.nextRound();
    for (const address of options.orchestrators ?? [second]) {
      await contracts.registerOrchestrator(address);
    }
    await contracts.nextRound();
  }
  return contracts;
}

/** The key by which the Controller knows a contract. */
export function contractId(name: string): Hex {
  return keccak256(toBytes(name));
}

async function create(anvil: Anvil, owner: Address, data: Hex): Promise<Address> {
  const { contractAddress } = await anvil.sendAs(owner, { data });
  if (!contractAddress) throw new Error('the transaction made no contract');
  return contractAddress;
}

/** Code that answers any call with 32 zero bytes: no LPT is left on L1. */
const codeThatReturnsZero = '0x600580600b6000396000f360206000f3';

const artifacts = {
  Controller: 'Controller.sol',
  ManagerProxy: 'ManagerProxy.sol',
  LivepeerToken: 'token/LivepeerToken.sol',
  Minter: 'token/Minter.sol',
  SortedDoublyLL: 'libraries/SortedDoublyLL.sol',
  BondingManager: 'bonding/BondingManager.sol',
  RoundsManager: 'rounds/RoundsManager.sol',
  ServiceRegistry: 'ServiceRegistry.sol',
  TicketBroker: 'pm/TicketBroker.sol',
};

const artifactSchema = z.object({
  abi: z.array(z.unknown()).transform((abi) => abi as Abi),
  bytecode: z.string().transform((code) => code as Hex),
  linkReferences: z.record(
    z.string(),
    z.record(z.string(), z.array(z.object({ start: z.int(), length: z.literal(20) }))),
  ),
});

function readArtifact(name: keyof typeof artifacts) {
  const path = `../contracts/node_modules/@livepeer/sdk/abis/${artifacts[name]}/${name}.json`;
  return artifactSchema.parse(JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')));
}

/** Writes the address of the artifact's only library into the places that the compiler left for it. */
function linkLibrary(
  { abi, bytecode, linkReferences }: z.infer<typeof artifactSchema>,
  library: Address,
): { abi: Abi; bytecode: Hex } {
  let code = bytecode.slice(2);
  for (const references of Object.values(linkReferences).flatMap((file) => Object.values(file))) {
    for (const { start } of references.flat()) {
      code = code.slice(0, start * 2) + library.slice(2).toLowerCase() + code.slice(start * 2 + 40);
    }
  }
  return { abi, bytecode: `0x${code}` };
}
