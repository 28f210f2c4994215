import type { ChainSource } from '../../src/chain/facts.ts';
import { type OnChainOptions, openOnChainSource } from '../../src/chain/on-chain.ts';
import { parseAddress } from '../../src/pm/bytes.ts';

export type LogLine = { level: string; message: string; fields: Readonly<Record<string, unknown>> };

export type TestSource = ChainSource & { readonly logLines: LogLine[]; [Symbol.dispose](): void };

export type TestSourceOptions = Omit<Partial<OnChainOptions>, 'controller' | 'sender' | 'log'> & {
  readonly contracts: { readonly controller: string };
  readonly sender: string;
  readonly rpcUrls: readonly string[];
  readonly startTimeoutMs?: number;
};

/** Refreshed at once, so that a test need not wait; a node that answers has as long as it needs. */
const usual = {
  refreshIntervalMs: 20,
  requestTimeoutMs: 60_000,
  maxAgeMs: 60_000,
  maxBlockAgeMs: 300_000,
  nowMs: () => performance.now(),
};

/** An on-chain source for the sender; gives up on its first facts after a minute unless told. */
export async function openSource(
  options: TestSourceOptions,
  logLines: LogLine[] = [],
): Promise<TestSource> {
  const { contracts, startTimeoutMs = 60_000, ...others } = options;
  const source = await openOnChainSource(
    {
      ...usual,
      chainId: 31_337,
      log: (level, message, fields) => logLines.push({ level, message, fields }),
      ...others,
      controller: toAddress(contracts.controller),
      sender: toAddress(options.sender),
    },
    AbortSignal.timeout(startTimeoutMs),
  );
  return Object.assign(source, { logLines, [Symbol.dispose]: () => source.close() });
}

function toAddress(text: string) {
  const address = parseAddress(text);
  if (!address) throw new Error(`${text} is no address`);
  return address;
}
