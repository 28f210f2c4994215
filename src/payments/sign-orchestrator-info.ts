import { checksum } from 'ox/Address';
import type { KeyGate } from '../keys/gate.ts';
import { toHex } from '../pm/bytes.ts';
import type { Policy } from '../policy/policy.ts';

/** The answer to `POST /sign-orchestrator-info`, in the order its keys are written. */
export type OrchestratorInfoSignature = {
  /** EIP-55 */
  readonly address: string;
  /** `0x` and 65 bytes r ‖ s ‖ v over the checksummed address text */
  readonly signature: string;
};

/**
 * Signs who the sender is, as orchestrators ask to see it. It never changes for a key, so it is made once at start.
 * Throws `ProviderError`.
 */
export async function signOrchestratorInfo(
  gate: KeyGate,
  policy: Policy,
  signal: AbortSignal,
): Promise<OrchestratorInfoSignature> {
  const grant = policy.grantOwn({ kind: 'orchestrator-info', sender: gate.address });
  const [signature = new Uint8Array()] = await gate.sign(grant, { signal });
  return { address: checksum(gate.address), signature: toHex(signature) };
}
