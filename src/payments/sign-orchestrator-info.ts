import { checksum } from 'ox/Address';
import { z } from 'zod';
import type { KeyGate } from '../keys/gate.ts';
import { toHex } from '../pm/bytes.ts';
import type { Policy } from '../policy/policy.ts';

/** The answer to `POST /sign-orchestrator-info`, in the order its keys are written. */
export const orchestratorInfoSignatureSchema = z.strictObject({
  address: z
    .string()
    .regex(/^0x[0-9a-fA-F]{40}$/)
    .describe('who pays, EIP-55'),
  signature: z
    .string()
    .regex(/^0x[0-9a-f]{130}$/)
    .describe('65 bytes r ‖ s ‖ v over the checksummed address text'),
});

export type OrchestratorInfoSignature = Readonly<z.infer<typeof orchestratorInfoSignatureSchema>>;

/** The proof of who the sender is, in the form that orchestrators ask for. */
export type SignedOrchestratorInfo = {
  /** EIP-55 */
  readonly address: string;
  /**
   * The signature. It never changes for a key, so it is made only once, when it is first asked for. Throws `ProviderError`, and
   * `SIGNING_PAUSED` where it has not been made yet.
   */
  signed(): Promise<OrchestratorInfoSignature>;
};

const signTimeoutMs = 30_000;

/** Prepares the proof; the key signs only when it is first asked for. */
export function createOrchestratorInfo(gate: KeyGate, policy: Policy): SignedOrchestratorInfo {
  const address = checksum(gate.address);
  let made: Promise<OrchestratorInfoSignature> | undefined;

  async function sign(): Promise<OrchestratorInfoSignature> {
    const grant = policy.grantOwn({ kind: 'orchestrator-info', sender: gate.address });
    const signal = AbortSignal.timeout(signTimeoutMs);
    const [signature = new Uint8Array()] = await gate.sign(grant, { signal });
    return { address, signature: toHex(signature) };
  }

  return {
    address,
    signed: () =>
      (made ??= sign().catch((error: unknown) => {
        made = undefined;
        throw error;
      })),
  };
}
