import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { checksum } from 'ox/Address';
import { formatEther, formatGwei } from 'ox/Value';
import { type Config, loadConfig } from '../config/load.ts';
import {
  type BrokerCall,
  type BrokerTransaction,
  encodeBrokerCall,
} from '../keys/broker-transaction.ts';
import { ConfigError } from '../errors.ts';
import { openTicketBroker } from '../compose/chain.ts';
import { openKeyForCommand, readKeyAddress, withActiveKey } from '../compose/key.ts';
import { createLogger } from '../telemetry/logger.ts';
import { type DepositService, callTicketBroker } from '../payments/manage-deposit.ts';
import type { Address } from '../pm/bytes.ts';
import { type Row, printRows } from './print-rows.ts';

type Options = {
  config: string;
  /** position in `keys`; the active key by default */
  key?: number;
};

type SendOptions = Options & {
  dryRun?: boolean;
  yes?: boolean;
  /** wei */
  maxFee: bigint;
  /** seconds */
  wait: number;
};

type FundOptions = SendOptions & { deposit?: bigint; reserve?: bigint };

type ChainAccess = DepositService['chain'];

const logger = createLogger('warn');
const exitFailure = 1;

/** The configuration with the key whose deposit is meant: the one that is named, or else the active one. */
function selectKey(config: Config, { key }: Options): Config {
  if (key === undefined) return withActiveKey(config);
  const named = config.keys[key];
  if (named) return { ...config, keys: [named] };
  throw new ConfigError('CONFIG_INVALID', `keys.${key}: there are only ${config.keys.length} keys`);
}

/** `deposit status`: reads the public key and the chain; nothing is signed. */
export async function showDeposit(options: Options & { json?: boolean }): Promise<void> {
  const config = selectKey(await loadConfig(options.config), options);
  const chain = await openTicketBroker(config);
  const sender = await readKeyAddress(config, logger);
  const report = await readReport(chain, sender);
  if (!options.json) {
    printRows(describe(report));
    return;
  }
  const text = JSON.stringify(
    report,
    (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value),
    2,
  );
  process.stdout.write(`${text}\n`);
}

/** `deposit fund`: adds to the deposit, the reserve, or both. */
export async function fundDeposit(options: FundOptions, command: Command): Promise<void> {
  const { deposit, reserve } = options;
  if (deposit !== undefined && reserve !== undefined) {
    await send({ name: 'fundDepositAndReserve', deposit, reserve }, options, command);
  } else if (deposit !== undefined) {
    await send({ name: 'fundDeposit', deposit }, options, command);
  } else if (reserve !== undefined) {
    await send({ name: 'fundReserve', reserve }, options, command);
  } else {
    command.error('error: give --deposit, --reserve or both');
  }
}

/** `deposit unlock`, `deposit cancel-unlock` and `deposit withdraw`. */
export function callWithoutAmount(name: 'unlock' | 'cancelUnlock' | 'withdraw') {
  return (options: SendOptions, command: Command): Promise<void> =>
    send({ name }, options, command);
}

async function send(call: BrokerCall, options: SendOptions, command: Command): Promise<void> {
  const { dryRun = false, yes = false, maxFee, wait } = options;
  if (!dryRun && !yes && !process.stdin.isTTY) {
    command.error('error: nobody is there to confirm: give --yes, or --dry-run to look first');
  }
  const config = selectKey(await loadConfig(options.config), options);
  const chain = await openTicketBroker(config);
  const { chainId, ticketBroker: broker } = chain;
  const rules = { chainId, broker, maxFee };
  const { policy, gate, close } = await openKeyForCommand(config, logger, rules);
  try {
    const mined = await callTicketBroker({ chain, policy, gate }, call, {
      confirm: async (transaction) => {
        printRows(decode(transaction, gate.address));
        if (dryRun) process.stdout.write('dry run: nothing was sent\n');
        return !dryRun && (yes || (await ask()));
      },
      onSigned: (hash) => process.stdout.write(`sending ${hash}\n`),
      waitMs: wait * 1000,
    });
    if (mined) {
      process.stdout.write(`done in block ${mined.block}; gas cost ${ether(mined.fee)}\n`);
      printRows(describe(await readReport(chain, gate.address, mined.block)));
    } else if (!dryRun) {
      process.stdout.write('nothing was sent\n');
      process.exitCode = exitFailure;
    }
  } finally {
    await close();
  }
}

async function ask(): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test((await terminal.question('send it? [y/N] ')).trim());
  } finally {
    terminal.close();
  }
}

type LockState = 'locked' | 'unlocking' | 'unlocked';

type DepositReport = {
  readonly address: string;
  readonly chainId: number;
  readonly block: bigint;
  readonly ticketBroker: string;
  readonly balanceWei: bigint;
  readonly depositWei: bigint;
  readonly reserveWei: bigint;
  readonly currentRound: bigint;
  /** 0 when no unlock was asked for */
  readonly withdrawRound: bigint;
  readonly state: LockState;
};

async function readReport(
  chain: ChainAccess,
  sender: Address,
  atBlock?: bigint,
): Promise<DepositReport> {
  const account = await chain.readAccount(sender, atBlock);
  const { block, balance, deposit, reserve, currentRound, withdrawRound } = account;
  return {
    address: checksum(sender),
    chainId: chain.chainId,
    block,
    ticketBroker: checksum(chain.ticketBroker),
    balanceWei: balance,
    depositWei: deposit,
    reserveWei: reserve,
    currentRound,
    withdrawRound,
    state: lockState(currentRound, withdrawRound),
  };
}

/** The state of the lock by the TicketBroker's rule: tickets are redeemed until the withdraw round begins. */
function lockState(currentRound: bigint, withdrawRound: bigint): LockState {
  if (withdrawRound === 0n) return 'locked';
  return currentRound < withdrawRound ? 'unlocking' : 'unlocked';
}

const stateTexts: Readonly<Record<LockState, (round: bigint) => string>> = {
  locked: () => 'locked',
  unlocking: (round) => `unlocking: can be withdrawn from round ${round} on`,
  unlocked: (round) =>
    `unlocked since round ${round}: no ticket is redeemed until it is locked again`,
};

function describe(report: DepositReport): Row[] {
  return [
    ['address', report.address],
    ['chain', `${report.chainId}, block ${report.block}`],
    ['TicketBroker', report.ticketBroker],
    ['balance', ether(report.balanceWei)],
    ['deposit', ether(report.depositWei)],
    ['reserve', ether(report.reserveWei)],
    ['round', `${report.currentRound}`],
    ['state', stateTexts[report.state](report.withdrawRound)],
  ];
}

function decode(transaction: BrokerTransaction, sender: Address): Row[] {
  const { call, gasLimit, maxFeePerGas, maxPriorityFeePerGas } = transaction;
  const { data, value } = encodeBrokerCall(call);
  const { name, ...amounts } = call;
  const argumentList = Object.entries(amounts).map(
    ([argument, wei]) => `${argument} ${ether(wei)}`,
  );
  return [
    ['chain', `${transaction.chainId}`],
    ['from', checksum(sender)],
    ['to', `${checksum(transaction.broker)} (TicketBroker)`],
    ['call', [name, ...argumentList].join(', ')],
    ['value', ether(value)],
    ['nonce', `${transaction.nonce}`],
    ['gas', `${gasLimit} at most, for ${ether(gasLimit * maxFeePerGas)} at most`],
    [
      'fee',
      `${formatGwei(maxFeePerGas)} gwei a gas at most, ${formatGwei(maxPriorityFeePerGas)} gwei of it a tip`,
    ],
    ['data', data],
  ];
}

function ether(wei: bigint): string {
  return `${formatEther(wei)} ether`;
}
