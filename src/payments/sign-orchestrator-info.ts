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

/** Who the sender is, as orchestrators ask to see it. */
export type SignedOrchestratorInfo = {
  /** EIP-55 */
  readonly address: string;
  /**
   * The signature never changes for a key, so it is made once, when it is first asked for. Throws `ProviderError`, and
   * `SIGNING_PAUSED` where it was not made before.
   */
  signed(): Promise<OrchestratorInfoSignature>;
};

const signTimeoutMs = 30_000;

/** Signs nothing yet. */
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
