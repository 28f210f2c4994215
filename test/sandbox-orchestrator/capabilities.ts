import type { Capabilities } from '../../src/wire/net_pb.ts';

/**
 * Why an orchestrator that offers `offered` refuses credentials that ask for `asked`, or undefined if it takes
 * them: every bit asked for is offered, every mandatory bit is asked for, and every model asked for is there
 * (and warm, if it must be). Versions are not compared.
 */
export function findCapabilityFault(
  asked: Capabilities | undefined,
  offered: Capabilities | undefined,
): string | undefined {
  if (!isSubset(asked?.bitstring ?? [], offered?.bitstring ?? [])) {
    return 'a capability is not offered';
  }
  if (!isSubset(offered?.mandatories ?? [], asked?.bitstring ?? [])) {
    return 'a mandatory capability is not asked for';
  }
  const offeredCapabilities = offered?.constraints?.perCapability ?? {};
  for (const [capability, { models }] of Object.entries(asked?.constraints?.perCapability ?? {})) {
    const offeredModels = offeredCapabilities[Number(capability)]?.models;
    if (offeredModels === undefined) continue;
    for (const [model, { warm }] of Object.entries(models)) {
      const offeredModel = offeredModels[model];
      if (offeredModel === undefined) return `model ${model} is not offered`;
      if (warm && !offeredModel.warm) return `model ${model} is not warm`;
    }
  }
  return undefined;
}

function isSubset(words: readonly bigint[], of: readonly bigint[]): boolean {
  return words.length <= of.length && words.every((word, i) => (word & ~(of[i] ?? 0n)) === 0n);
}
