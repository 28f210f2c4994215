import { z } from 'zod';
import type { Hex } from '../pm/bytes.ts';
import { ChainError } from './facts.ts';
import type { RpcCall, RpcEndpoint } from './json-rpc.ts';
import type { ContractView } from './livepeer-contracts.ts';

/** More calls in one batch are refused by some nodes. */
const maxBatch = 50;

const bytes = z.string().regex(/^0x(?:[0-9a-fA-F]{2})+$/);

/** The JSON-RPC call that asks a contract, at the newest block or at the block with this hash. */
export function toCall(
  { to, data }: ContractView<unknown>,
  block: 'latest' | { readonly blockHash: string } = 'latest',
): RpcCall {
  return { method: 'eth_call', params: [{ to, data }, block] };
}

/**
 * Asks contracts, with 50 questions in each HTTP request; the answers come in the order of the views. Throws {@link ChainError}.
 */
export async function askViews<Value>(
  endpoint: RpcEndpoint,
  views: readonly ContractView<Value>[],
  signal: AbortSignal,
): Promise<readonly Value[]> {
  const values: Value[] = [];
  for (let start = 0; start < views.length; start += maxBatch) {
    const batch = views.slice(start, start + maxBatch);
    const answers = await endpoint.call(
      batch.map((view) => toCall(view)),
      signal,
    );
    values.push(...batch.map((view, index) => decode(endpoint, view, answers[index])));
  }
  return values;
}

/** Decodes a node's answer. Throws {@link ChainError}. */
export function decode<Value>(
  endpoint: Pick<RpcEndpoint, 'name'>,
  view: ContractView<Value>,
  answer: unknown,
): Value {
  const data = bytes.safeParse(answer).data as Hex | undefined;
  try {
    if (data) return view.decode(data);
  } catch {
    // data that can't be decoded counts as no data
  }
  throw new ChainError(
    'CHAIN_FACTS_UNAVAILABLE',
    `${endpoint.name} gave no valid answer to ${view.name}`,
    { retryable: true },
  );
}
