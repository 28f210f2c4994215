import { type Address, type Hex, concat, numberToHex, stringToHex } from 'viem';
import type { Anvil } from './anvil.ts';

/** What a feed says; times are Unix seconds. */
export type FeedAnswers = {
  readonly roundId: bigint;
  readonly answer: bigint;
  readonly startedAt: bigint;
  readonly updatedAt: bigint;
  readonly answeredInRound: bigint;
  readonly decimals: bigint;
  /** at most 32 bytes */
  readonly description: string;
  readonly isReverting: boolean;
};

/** A contract with the views of Chainlink's AggregatorV3Interface, on a private chain. */
export type TestPriceFeed = {
  readonly address: Address;
  /** Changes what it says, in a transaction; a new round of now unless told. */
  set(answers: Partial<FeedAnswers>): Promise<void>;
};

/** ether at 3,200 USD, with 8 decimals */
export const usualAnswer = 3_200n * 10n ** 8n;

/** Deploys a feed of ETH / USD. */
export async function deployPriceFeed(
  anvil: Anvil,
  answers: Partial<FeedAnswers> = {},
): Promise<TestPriceFeed> {
  const [owner] = anvil.accounts;
  if (!owner) throw new Error('the chain has no accounts');
  const { contractAddress: address } = await anvil.sendAs(owner, { data: creationCode() });
  if (!address) throw new Error('the transaction made no contract');
  let roundId = 0n;
  let last: FeedAnswers = {
    roundId,
    answer: usualAnswer,
    startedAt: 0n,
    updatedAt: 0n,
    answeredInRound: roundId,
    decimals: 8n,
    description: 'ETH / USD',
    isReverting: false,
  };
  const feed: TestPriceFeed = {
    address,
    async set(changes) {
      roundId += 1n;
      const { timestamp } = await anvil.client.getBlock();
      const round = {
        roundId,
        answeredInRound: roundId,
        startedAt: timestamp,
        updatedAt: timestamp,
      };
      last = { ...last, ...round, ...changes };
      await anvil.sendAs(owner, { to: address, data: encodeStorage(last) });
    },
  };
  await feed.set(answers);
  return feed;
}

/** The contract's nine storage words, in their order. */
function encodeStorage(answers: FeedAnswers): Hex {
  const word = (value: bigint) => numberToHex(BigInt.asUintN(256, value), { size: 32 });
  const { roundId, answer, startedAt, updatedAt, answeredInRound, decimals } = answers;
  return concat([
    ...[roundId, answer, startedAt, updatedAt, answeredInRound, decimals].map(word),
    stringToHex(answers.description, { size: 32 }),
    word(BigInt(Buffer.byteLength(answers.description))),
    word(answers.isReverting ? 1n : 0n),
  ]);
}

const opcodes = {
  STOP: 0x00,
  GT: 0x11,
  EQ: 0x14,
  SHR: 0x1c,
  CALLDATALOAD: 0x35,
  CALLDATASIZE: 0x36,
  CODECOPY: 0x39,
  MSTORE: 0x52,
  SLOAD: 0x54,
  SSTORE: 0x55,
  JUMPI: 0x57,
  JUMPDEST: 0x5b,
  DUP1: 0x80,
  RETURN: 0xf3,
  REVERT: 0xfd,
} as const;

/** An instruction; a number is pushed, `:name` marks a place, and `@name` pushes it. */
type Token = keyof typeof opcodes | number | `:${string}` | `@${string}`;

/** EVM code; marked places have two bytes. */
function assemble(tokens: readonly Token[]): Uint8Array {
  const code: number[] = [];
  const places = new Map<string, number>();
  const uses: { readonly at: number; readonly name: string }[] = [];
  for (const token of tokens) {
    if (typeof token === 'number') {
      const hex = token.toString(16);
      const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
      code.push(0x5f + bytes.length, ...bytes);
    } else if (token.startsWith(':')) {
      places.set(token.slice(1), code.length);
      code.push(opcodes.JUMPDEST);
    } else if (token.startsWith('@')) {
      uses.push({ at: code.length + 1, name: token.slice(1) });
      code.push(0x61, 0, 0);
    } else {
      code.push(opcodes[token as keyof typeof opcodes]);
    }
  }
  for (const { at, name } of uses) {
    const place = places.get(name);
    if (place === undefined) throw new Error(`no place is called ${name}`);
    [code[at], code[at + 1]] = [place >> 8, place & 0xff];
  }
  return Uint8Array.from(code);
}

/** Calls of four bytes are views; longer ones set the storage, word by word. */
function creationCode(): Hex {
  const words = [...Array(9).keys()];
  const runtime = assemble([
    ...([4, 'CALLDATASIZE', 'GT', '@set', 'JUMPI'] as const),
    ...([8, 'SLOAD', '@revert', 'JUMPI'] as const),
    ...([0, 'CALLDATALOAD', 224, 'SHR'] as const),
    ...(['DUP1', 0xfeaf968c, 'EQ', '@latestRoundData', 'JUMPI'] as const),
    ...(['DUP1', 0x313ce567, 'EQ', '@decimals', 'JUMPI'] as const),
    ...(['DUP1', 0x7284e416, 'EQ', '@description', 'JUMPI'] as const),
    ...([':revert', 0, 0, 'REVERT'] as const),
    ':latestRoundData',
    ...words.slice(0, 5).flatMap((word) => [word, 'SLOAD', word * 32, 'MSTORE'] as const),
    ...([160, 0, 'RETURN'] as const),
    ...([':decimals', 5, 'SLOAD', 0, 'MSTORE', 32, 0, 'RETURN'] as const),
    ...([':description', 32, 0, 'MSTORE', 7, 'SLOAD', 32, 'MSTORE'] as const),
    ...([6, 'SLOAD', 64, 'MSTORE', 96, 0, 'RETURN'] as const),
    ':set',
    ...words.flatMap((word) => [word * 32, 'CALLDATALOAD', word, 'SSTORE'] as const),
    'STOP',
  ]);
  const copyAndReturn = (start: number): Uint8Array =>
    assemble([runtime.length, 'DUP1', start, 0, 'CODECOPY', 0, 'RETURN']);
  const start = copyAndReturn(0).length;
  return `0x${Buffer.concat([copyAndReturn(start), runtime]).toString('hex')}`;
}
