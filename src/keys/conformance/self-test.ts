import { InternalError } from '../../errors.ts';
import { type Address, addressFromBytes, uintToBytes32 } from '../../pm/bytes.ts';
import { openKeyGate } from '../gate.ts';
import { noJournal } from '../key-journal.ts';
import { Grant } from '../grant.ts';
import { digestsOf, type Intent } from '../intents.ts';
import type { KeyProvider } from '../provider.ts';
import { readPublicKey, settled, unending } from './expect.ts';
import { ConformanceError } from './subject.ts';

/** A gate that signs nothing but self-tests, which can't be mistaken for anything else. */
export type SelfTestGate = {
  /** 65 bytes */
  readonly publicKey: Uint8Array;
  /** Signs {@link selfTestDigest} of an address through the gate: r ‖ s ‖ v, 65 bytes. */
  sign(sender: Address, signal?: AbortSignal): Promise<Uint8Array>;
};

const maxQueued = 1000;

/** Opens a gate over a provider, for the suite's own Intents. Throws what the provider throws. */
export async function openSelfTestGate(provider: KeyProvider): Promise<SelfTestGate> {
  const intents = new WeakMap<Grant, Intent>();
  const publicKey = await readPublicKey(provider);
  const gate = await settled(
    'opening the gate',
    openKeyGate({
      provider,
      requireSigning: () => undefined,
      journal: noJournal,
      maxQueued,
      signal: unending,
      redeem: (grant) => {
        const intent = intents.get(grant);
        if (intent) return { intent, reason: {} };
        throw new InternalError('GRANT_INVALID', 'the grant is not one of this suite');
      },
    }),
  );
  return {
    publicKey,
    sign: async (sender, signal = unending) => {
      const grant = new Grant();
      intents.set(grant, { kind: 'self-test', sender });
      return onlyOne(await gate.sign(grant, { signal }));
    },
  };
}

/** The 32 bytes that the key signs for the self-test of this address. */
export function selfTestDigest(sender: Address): Uint8Array {
  return onlyOne(digestsOf({ kind: 'self-test', sender }));
}

/** An address for each number, so that each self-test has a digest of its own. */
export function senderWithNumber(number: number): Address {
  return addressFromBytes(uintToBytes32(BigInt(number)));
}

function onlyOne(values: readonly Uint8Array[]): Uint8Array {
  const [value] = values;
  if (value && values.length === 1) return value;
  throw new ConformanceError('one value', String(values.length));
}
