import type { Encoded } from './generate-live-payment.ts';
import { fromBase64 } from './wire/base64.ts';
import { type Hex, toHex } from './wire/hex.ts';
import { bytesOf, integerOf, messageOf, readMessage, textOf } from './wire/protobuf.ts';

/** What an orchestrator tells of itself. */
export type OrchestratorInfo = {
  /** URL of its service. */
  readonly transcoder: string;
  readonly address: Hex;
  /** Wei for `pixelsPerUnit` units: pixels, seconds or requests. */
  readonly pricePerUnit: bigint;
  readonly pixelsPerUnit: bigint;
  /** Id of the session that its auth token is for; empty where it has none. */
  readonly sessionId: string;
  /** When the auth token ends, in Unix seconds. */
  readonly expiresAtSeconds: bigint;
};

/**
 * Reads a `net.OrchestratorInfo`: the answer of `getOrchestratorInfo()`, or `paymentParams` of a payment challenge. Throws
 * TypeError where it is none.
 *
 * @example
 * ```ts
 * import { createSignerClient, decodeOrchestratorInfo } from 'livepeer-remote-signer-client';
 * import { getOrchestratorInfo } from 'livepeer-remote-signer-client/node';
 *
 * const client = createSignerClient({ url: 'http://127.0.0.1:7936' });
 * const info = await getOrchestratorInfo({ client, url: 'https://orchestrator.example:8935' });
 * const { pricePerUnit, pixelsPerUnit } = decodeOrchestratorInfo(info);
 * console.log(`${pricePerUnit} wei for ${pixelsPerUnit} units`);
 * ```
 */
export function decodeOrchestratorInfo(info: Encoded): OrchestratorInfo {
  const message = readMessage(decode(info));
  const price = messageOf(message, 3) ?? new Map();
  const authToken = messageOf(message, 6) ?? new Map();
  return {
    transcoder: textOf(message, 1),
    address: toHex(bytesOf(message, 4)),
    pricePerUnit: integerOf(price, 1),
    pixelsPerUnit: integerOf(price, 2),
    sessionId: textOf(authToken, 2),
    expiresAtSeconds: integerOf(authToken, 3),
  };
}

function decode(info: Encoded): Uint8Array {
  if (typeof info !== 'string') return info;
  try {
    return fromBase64(info);
  } catch (cause) {
    throw new TypeError('the OrchestratorInfo is not base64', { cause });
  }
}
