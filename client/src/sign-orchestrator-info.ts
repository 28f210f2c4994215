import { SignerUnreachableError } from './errors.ts';
import type { SignerTransport } from './signer-transport.ts';
import type { Hex } from './wire/hex.ts';
import { asObject, tryParseJson } from './wire/json.ts';

/** Who pays, and the signature that orchestrators ask for before they tell their terms. */
export type OrchestratorInfoSignature = {
  /** 20 bytes, with the checksum in its capitals. */
  readonly address: Hex;
  /** 65 bytes: r, s and v. */
  readonly signature: Hex;
};

/** Asks the signer who pays; throws as its transport does. */
export async function signOrchestratorInfo(
  transport: SignerTransport,
  signal: AbortSignal | undefined,
): Promise<OrchestratorInfoSignature> {
  const text = await transport.sendUntilAnswered({
    method: 'POST',
    path: 'sign-orchestrator-info',
    body: '{}',
    signal,
  });
  const answer = asObject(tryParseJson(text));
  const address = answer?.['address'];
  const signature = answer?.['signature'];
  if (!isHex(address, 20) || !isHex(signature, 65)) {
    throw new SignerUnreachableError('/sign-orchestrator-info has no address and signature');
  }
  return { address, signature };
}

function isHex(value: unknown, bytes: number): value is Hex {
  return typeof value === 'string' && new RegExp(`^0x[0-9a-f]{${2 * bytes}}$`, 'i').test(value);
}
