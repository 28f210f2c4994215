import { type BrokerTransaction, isBrokerFunction } from '../keys/broker-transaction.ts';
import type { Address } from '../pm/bytes.ts';
import type { Refusal } from '../pm/refusal.ts';

/** Which transactions the key may sign. */
export type TransactionRules = {
  readonly chainId: number;
  /** the TicketBroker that the configured Controller names */
  readonly broker: Address;
  /** the most that gas may cost, in wei */
  readonly maxFee: bigint;
};

/** Why a transaction may not be signed; without rules, as in a running server, none may. */
export function refuseTransaction(
  transaction: BrokerTransaction,
  rules: TransactionRules | undefined,
): Refusal | undefined {
  const notAllowed = (message: string): Refusal => ({ code: 'TRANSACTION_NOT_ALLOWED', message });
  if (!rules) return notAllowed('this process signs no transactions');
  const { chainId, broker, call, gasLimit, maxFeePerGas } = transaction;
  if (chainId !== rules.chainId) {
    return notAllowed(`the transaction is for chain ${chainId}, not for chain ${rules.chainId}`);
  }
  if (broker !== rules.broker) {
    return notAllowed(`the transaction goes to ${broker}, not to the TicketBroker ${rules.broker}`);
  }
  if (!isBrokerFunction(call.name)) {
    return notAllowed('the function is none that a sender manages its funds with');
  }
  const fee = gasLimit * maxFeePerGas;
  if (fee > rules.maxFee) {
    return {
      code: 'TRANSACTION_FEE_ABOVE_MAXIMUM',
      message: `the transaction may cost ${fee} wei of gas, which exceeds the maximum of ${rules.maxFee} wei`,
    };
  }
  return undefined;
}
