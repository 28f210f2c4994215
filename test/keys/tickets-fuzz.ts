import { hashMessage, recoverMessageAddress } from 'viem';
import { expect } from 'vitest';
import { curveOrder } from '../../src/keys/scalars.ts';
import { loadNativeRecover } from '../../src/keys/secp256k1.ts';
import { addressFromBytes, bytes32FromBytes, bytesToUint, toHex } from '../../src/pm/bytes.ts';
import { type Ticket, hashTicket } from '../../src/pm/ticket.ts';
import { concat, derSignature, hex } from './der.ts';
import { never, openTestGate, openTestProvider } from './open-test-gate.ts';
import { viemTicketHash } from './viem-ticket-hash.ts';
import { fc } from '../support/fast-check.ts';

const uint256 = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }),
  fc.bigInt({ min: 0n, max: 2n ** 64n }),
  fc.constantFrom(0n, 1n, 2n ** 255n, 2n ** 256n - 1n),
);
const bytes20 = fc.uint8Array({ minLength: 20, maxLength: 20 });
const bytes32 = fc.oneof(
  { weight: 9, arbitrary: fc.uint8Array({ minLength: 32, maxLength: 32 }) },
  { weight: 1, arbitrary: fc.constant(new Uint8Array(32)) },
);

/** Any ticket that can be hashed, one in a few hundred without auxiliary data. */
export const anyTicket: fc.Arbitrary<Ticket> = fc.record({
  recipient: bytes20.map(addressFromBytes),
  sender: bytes20.map(addressFromBytes),
  faceValue: uint256,
  winProb: uint256,
  senderNonce: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  recipientRandHash: bytes32.map(bytes32FromBytes),
  creationRound: fc.record({
    round: fc.oneof(
      { weight: 9, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }) },
      { weight: 1, arbitrary: fc.constant(0n) },
    ),
    blockHash: bytes32.map(bytes32FromBytes),
  }),
});

/** How a device may answer: which encoding, and with the low s or its high twin. */
const forms = [
  { encoding: 'der', high: false },
  { encoding: 'der', high: true },
  { encoding: 'raw', high: false },
  { encoding: 'raw', high: true },
] as const;

const perBatch = 100;

/**
 * Signs generated tickets through the real gate, the device answering in DER and raw, with low and high s in turn, and
 * checks every signature: recovered by libsecp256k1, and by viem for one in `viemEvery`. Gives the number of replies with
 * a high s.
 */
export async function signGeneratedTickets(
  count: number,
  viemEvery: number,
): Promise<{ tickets: number; highReplies: number; viemRecoveries: number }> {
  let replies = 0;
  let highReplies = 0;
  let viemRecoveries = 0;
  const { provider } = await openTestProvider({
    reply: (signature) => {
      const form = forms[replies++ % forms.length] ?? forms[0];
      const r = bytesToUint(signature.subarray(0, 32));
      const low = bytesToUint(signature.subarray(32, 64));
      const s = form.high ? curveOrder - low : low;
      if (form.high) highReplies++;
      return {
        encoding: form.encoding,
        bytes:
          form.encoding === 'der'
            ? derSignature(r, s)
            : concat(signature.subarray(0, 32), hex(s.toString(16).padStart(64, '0'))),
      };
    },
  });
  const { gate, issue } = await openTestGate(provider);
  const publicKey = await provider.getPublicKey({ signal: never });
  const nativeRecover = loadNativeRecover();
  let checked = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyTicket, { minLength: perBatch, maxLength: perBatch }),
      async (tickets) => {
        const signatures = await gate.sign(issue({ kind: 'ticket-batch', tickets }), {
          signal: never,
        });
        expect(signatures).toHaveLength(tickets.length);
        for (const [index, ticket] of tickets.entries()) {
          const signature = signatures[index] ?? new Uint8Array();
          const hash = viemTicketHash(ticket);
          expect(toHex(hashTicket(ticket))).toBe(hash);
          expect(signature).toHaveLength(65);
          expect(bytesToUint(signature.subarray(32, 64)) <= curveOrder / 2n).toBe(true);
          const v = signature[64];
          expect(v === 27 || v === 28).toBe(true);
          const recovered = nativeRecover(
            hex(hashMessage({ raw: hash }).slice(2)),
            signature.subarray(0, 64),
            v === 27 ? 0 : 1,
          );
          expect(recovered).toEqual(publicKey);
          if (checked++ % viemEvery !== 0) continue;
          viemRecoveries++;
          const address = await recoverMessageAddress({
            message: { raw: hash },
            signature: toHex(signature),
          });
          expect(address.toLowerCase()).toBe(gate.address);
        }
      },
    ),
    { numRuns: count / perBatch, endOnFailure: true },
  );
  await provider.close();
  return { tickets: checked, highReplies, viemRecoveries };
}
