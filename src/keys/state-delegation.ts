import { keccak256 } from '../pm/keccak256.ts';
import { type Address, concatBytes, fromHex, uintToBytes32, utf8ToBytes } from '../pm/bytes.ts';

/** The domain of a delegation: instances that differ in one of these don't accept each other's. */
export type DelegationDomain = {
  readonly chainId: number;
  /** the TicketBroker that the sender's deposit is with */
  readonly broker: Address;
};

/** Permits an instance of the signer to seal session states for the sender, for a while. */
export type StateDelegation = DelegationDomain & {
  /** the instance's Ed25519 public key, 32 bytes */
  readonly instanceKey: Uint8Array;
  /** Unix seconds, the first and the last at which it holds; unsigned 64 bits */
  readonly notBefore: bigint;
  readonly notAfter: bigint;
};

const hashText = (text: string): Uint8Array => keccak256(utf8ToBytes(text));

const domainType = hashText(
  'EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)',
);
const delegationType = hashText(
  'StateDelegation(bytes32 instanceKey,uint64 notBefore,uint64 notAfter)',
);
const domainName = hashText('livepeer-hsm-signer');
const domainVersion = hashText('1');

/** The EIP-712 digest, 32 bytes: keccak256(0x1901 ‖ domain separator ‖ hash of the struct). */
export function stateDelegationDigest(delegation: StateDelegation): Uint8Array {
  const { chainId, broker, instanceKey, notBefore, notAfter } = delegation;
  const domainSeparator = keccak256(
    concatBytes(
      domainType,
      domainName,
      domainVersion,
      uintToBytes32(BigInt(chainId)),
      uintToBytes32(BigInt(broker)),
    ),
  );
  const structHash = keccak256(
    concatBytes(delegationType, instanceKey, uintToBytes32(notBefore), uintToBytes32(notAfter)),
  );
  return keccak256(concatBytes(fromHex('0x1901'), domainSeparator, structHash));
}
