import { keccak256 } from '../pm/keccak256.ts';
import * as TxEnvelopeEip1559 from 'ox/TxEnvelopeEip1559';
import { InternalError } from '../errors.ts';
import {
  type Address,
  type Hex,
  bytesToUint,
  concatBytes,
  fromHex,
  toHex,
  uintToBytes32,
  utf8ToBytes,
} from '../pm/bytes.ts';

/** A function of the TicketBroker that a sender manages its own funds with; amounts in wei. */
export type BrokerCall =
  | { readonly name: 'fundDeposit'; readonly deposit: bigint }
  | { readonly name: 'fundReserve'; readonly reserve: bigint }
  | {
      readonly name: 'fundDepositAndReserve';
      readonly deposit: bigint;
      readonly reserve: bigint;
    }
  | { readonly name: 'unlock' | 'cancelUnlock' | 'withdraw' };

/** An EIP-1559 transaction to the TicketBroker. It has no field for call data or value: both follow from `call`. */
export type BrokerTransaction = {
  readonly chainId: number;
  readonly broker: Address;
  readonly nonce: number;
  readonly gasLimit: bigint;
  /** wei */
  readonly maxFeePerGas: bigint;
  /** wei */
  readonly maxPriorityFeePerGas: bigint;
  readonly call: BrokerCall;
};

/** The signature text from which each function's selector is computed. */
const prototypes: Readonly<Record<BrokerCall['name'], string>> = {
  fundDeposit: 'fundDeposit()',
  fundReserve: 'fundReserve()',
  fundDepositAndReserve: 'fundDepositAndReserve(uint256,uint256)',
  unlock: 'unlock()',
  cancelUnlock: 'cancelUnlock()',
  withdraw: 'withdraw()',
};

/** Whether this is one of the functions above. */
export function isBrokerFunction(name: string): name is BrokerCall['name'] {
  return Object.hasOwn(prototypes, name);
}

/** The call data, and the wei sent along. Throws `INTERNAL` for any function that is not in {@link BrokerCall}. */
export function encodeBrokerCall(call: BrokerCall): { data: Hex; value: bigint } {
  if (!isBrokerFunction(call.name)) {
    throw new InternalError('INTERNAL', 'that function of the TicketBroker may not be called');
  }
  const selector = keccak256(utf8ToBytes(prototypes[call.name])).subarray(0, 4);
  switch (call.name) {
    case 'fundDeposit':
      return { data: toHex(selector), value: call.deposit };
    case 'fundReserve':
      return { data: toHex(selector), value: call.reserve };
    case 'fundDepositAndReserve': {
      const words = [call.deposit, call.reserve].map(uintToBytes32);
      return {
        data: toHex(concatBytes(selector, ...words)),
        value: call.deposit + call.reserve,
      };
    }
    case 'unlock':
    case 'cancelUnlock':
    case 'withdraw':
      return { data: toHex(selector), value: 0n };
  }
}

function toEnvelope(transaction: BrokerTransaction): TxEnvelopeEip1559.TxEnvelopeEip1559 {
  const { chainId, broker, nonce, gasLimit, maxFeePerGas, maxPriorityFeePerGas } = transaction;
  return TxEnvelopeEip1559.from({
    chainId,
    to: broker,
    nonce: BigInt(nonce),
    gas: gasLimit,
    maxFeePerGas,
    maxPriorityFeePerGas,
    ...encodeBrokerCall(transaction.call),
  });
}

/** keccak256(0x02 ‖ rlp), 32 bytes: what an EIP-1559 transaction is signed over. */
export function brokerTransactionDigest(transaction: BrokerTransaction): Uint8Array {
  return fromHex(TxEnvelopeEip1559.getSignPayload(toEnvelope(transaction)));
}

/** The signed transaction as it is broadcast; `signature` is r ‖ s ‖ v, 65 bytes, v 27 or 28. */
export function encodeSignedBrokerTransaction(
  transaction: BrokerTransaction,
  signature: Uint8Array,
): Hex {
  return TxEnvelopeEip1559.serialize(toEnvelope(transaction), {
    signature: {
      r: bytesToUint(signature.subarray(0, 32)),
      s: bytesToUint(signature.subarray(32, 64)),
      yParity: signature[64] === 28 ? 1 : 0,
    },
  });
}
