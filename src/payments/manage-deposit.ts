import { keccak256 } from '../pm/keccak256.ts';
import type { MinedTransaction, TicketBrokerClient } from '../chain/ticket-broker.ts';
import {
  type BrokerCall,
  type BrokerTransaction,
  encodeBrokerCall,
  encodeSignedBrokerTransaction,
} from '../keys/broker-transaction.ts';
import type { KeyGate } from '../keys/gate.ts';
import type { Grant } from '../keys/grant.ts';
import { type Hex, fromHex, toHex } from '../pm/bytes.ts';
import type { Policy } from '../policy/policy.ts';
import { RefusalError } from './refusal-error.ts';

export type DepositService = {
  readonly chain: TicketBrokerClient;
  readonly policy: Policy;
  readonly gate: KeyGate;
};

export type SendOptions = {
  /** Asked with the transaction as it would be signed; where the answer is no, nothing is signed. */
  readonly confirm: (transaction: BrokerTransaction) => Promise<boolean>;
  /** Called with the hash before the transaction is sent, so that it is known whatever happens. */
  readonly onSigned: (hash: Hex) => void;
  /** How long to wait for a block that holds the transaction. */
  readonly waitMs: number;
};

const signTimeoutMs = 30_000;

/**
 * Calls the TicketBroker in the sender's name: estimate, policy, confirmation, signature, broadcast, receipt. Returns
 * undefined when it was not confirmed. Throws {@link RefusalError}, `ChainError` and `ProviderError`.
 */
export async function callTicketBroker(
  { chain, policy, gate }: DepositService,
  call: BrokerCall,
  { confirm, onSigned, waitMs }: SendOptions,
): Promise<MinedTransaction | undefined> {
  const transaction: BrokerTransaction = {
    chainId: chain.chainId,
    broker: chain.ticketBroker,
    ...(await chain.estimate(gate.address, encodeBrokerCall(call))),
    call,
  };
  grantOf(policy, transaction);
  if (!(await confirm(transaction))) return undefined;

  // decided again, since a grant expires while the operator reads
  const [signature = new Uint8Array()] = await gate.sign(grantOf(policy, transaction), {
    signal: AbortSignal.timeout(signTimeoutMs),
  });
  const signed = encodeSignedBrokerTransaction(transaction, signature);
  const hash = toHex(keccak256(fromHex(signed)));
  onSigned(hash);
  await chain.broadcast({ hash, signed });
  return chain.waitForReceipt(hash, waitMs);
}

function grantOf(policy: Policy, transaction: BrokerTransaction): Grant {
  const verdict = policy.decideTransaction(transaction);
  if (verdict.kind === 'deny') throw new RefusalError(verdict.refusal);
  return verdict.grant;
}
