import { OutgoingError } from '../outgoing/outgoing-error.ts';
import { type Address, addressFromBytes } from '../pm/bytes.ts';
import { type Rational, compare, rational } from '../pm/rational.ts';
import { pipelineOfCapability } from '../policy/pipelines.ts';
import { listModels } from '../wire/capabilities.ts';
import { type OrchestratorInfo, OrchestratorInfoSchema, type PriceInfo } from '../wire/net_pb.ts';
import { readMessage } from '../wire/protobuf.ts';
import type { Offer } from './offers.ts';
import { maxTextLength, parseHttpUrl, withoutSlash } from './service-url.ts';

/** The ceiling for a capability and model, wei per unit; undefined where there is none. */
export type CapabilityCeiling = (capability: number, model: string) => Rational | undefined;

/** What an orchestrator says of itself. */
export type OrchestratorTerms = {
  readonly ethAddress: Address;
  readonly offer: Offer;
  /** service URLs of its further nodes, as it gave them */
  readonly nodes: readonly string[];
};

const maxCapabilities = 256;

/**
 * Reads `net.OrchestratorInfo`: the pipelines and models that it offers at no more than their ceilings. Throws `malformed` for what
 * go-livepeer does not list either: no Ethereum address, no service URL, no valid price.
 */
export function readOrchestratorInfo(
  message: Uint8Array,
  ceilingOf: CapabilityCeiling,
): OrchestratorTerms {
  const info = decode(message);
  const { transcoder, address, priceInfo, nodes } = info;
  if (address.length === 0) throw malformed('no Ethereum address');
  if (!parseHttpUrl(transcoder)) throw malformed('no service URL');
  const basePrice = priceInfo && toPrice(priceInfo);
  if (!basePrice) throw malformed('no valid price');
  const capabilities = listModels(info.capabilities).flatMap(({ capability, model }) => {
    const pipeline = pipelineOfCapability(capability);
    if (pipeline === undefined || model === '') return [];
    const name = `${pipeline}/${model}`;
    const maximum = ceilingOf(capability, model);
    const price = ownPrice(info, capability, model) ?? basePrice;
    const isListed = name.length <= maxTextLength && (!maximum || compare(price, maximum) <= 0);
    return isListed ? [name] : [];
  });
  return {
    ethAddress: addressFromBytes(address),
    offer: {
      address: withoutSlash(transcoder),
      capabilities: capabilities.slice(0, maxCapabilities),
      runners: [],
    },
    nodes,
  };
}

function decode(message: Uint8Array): OrchestratorInfo {
  try {
    return readMessage(OrchestratorInfoSchema, message);
  } catch (cause) {
    throw new OutgoingError('malformed', 'no net.OrchestratorInfo', { cause });
  }
}

/** wei per unit; undefined when it is no price */
function toPrice({ pricePerUnit, pixelsPerUnit }: PriceInfo): Rational | undefined {
  return pricePerUnit >= 0n && pixelsPerUnit > 0n
    ? rational(pricePerUnit, pixelsPerUnit)
    : undefined;
}

/** The price of a capability and model, where they have one of their own. */
function ownPrice(
  { capabilitiesPrices }: OrchestratorInfo,
  capability: number,
  model: string,
): Rational | undefined {
  const own = capabilitiesPrices.find(
    (price) => price.capability === capability && price.constraint === model,
  );
  return own && toPrice(own);
}

function malformed(reason: string): OutgoingError {
  return new OutgoingError('malformed', reason);
}
