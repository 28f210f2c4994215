import { type BrokerTransaction, isBrokerFunction } from '../keys/broker-transaction.ts';
import type { Address } from '../pm/bytes.ts';
import type { Refusal, RefusalOf } from '../pm/refusal.ts';

/** Which transactions the key may sign. */
export type TransactionRules = {
  readonly chainId: number;
  /** the TicketBroker that the configured Controller names */
  readonly broker: Address;
  /** the most that gas may cost, in wei */
  readonly maxFee: bigint;
};

/** Why a transaction may not be signed; undefined where it may. Without rules, as in a running server, none may. */
export function refuseTransaction(
  transaction: BrokerTransaction,
  rules: TransactionRules | undefined,
): Refusal | undefined {
  const notAllowed = (data: RefusalOf<'TRANSACTION_NOT_ALLOWED'>['data']): Refusal => ({
    code: 'TRANSACTION_NOT_ALLOWED',
    data,
  });
  if (!rules) return notAllowed({ field: 'transaction' });
  const { chainId, broker, call, gasLimit, maxFeePerGas } = transaction;
  if (chainId !== rules.chainId) {
    return notAllowed({ field: 'chainId', actual: chainId, expected: rules.chainId });
  }
  if (broker !== rules.broker) {
    return notAllowed({ field: 'broker', actual: broker, expected: rules.broker });
  }
  if (!isBrokerFunction(call.name)) {
    return notAllowed({ field: 'function' });
  }
  const fee = gasLimit * maxFeePerGas;
  if (fee > rules.maxFee) {
    return {
      code: 'TRANSACTION_FEE_ABOVE_MAXIMUM',
      data: { actual: fee, maximum: rules.maxFee },
    };
  }
  return undefined;
}
