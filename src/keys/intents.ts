import { keccak256 } from '../pm/keccak256.ts';
import { checksum } from 'ox/Address';
import { type Address, utf8ToBytes } from '../pm/bytes.ts';
import { type ByocJob, encodeByocJob } from '../pm/byoc-job.ts';
import { personalMessageDigest } from '../pm/personal-message.ts';
import { flattenSegmentCredentials } from '../pm/segment-credentials.ts';
import { type Ticket, hashTicket } from '../pm/ticket.ts';
import { type BrokerTransaction, brokerTransactionDigest } from './broker-transaction.ts';
import { type StateDelegation, stateDelegationDigest } from './state-delegation.ts';

/** What the key may be asked to sign, and nothing else. */
export type Intent =
  /** one signature a ticket, in the order given */
  | { readonly kind: 'ticket-batch'; readonly tickets: readonly Ticket[] }
  | { readonly kind: 'segment-credentials'; readonly manifestId: string }
  | { readonly kind: 'byoc-job'; readonly job: ByocJob }
  | { readonly kind: 'orchestrator-info'; readonly sender: Address }
  /** go-livepeer's seal: the state's JSON bytes */
  | { readonly kind: 'session-state'; readonly state: Uint8Array }
  /** lets this instance seal session states without the key */
  | { readonly kind: 'state-delegation'; readonly delegation: StateDelegation }
  /** the operator funds, unlocks or withdraws the deposit */
  | { readonly kind: 'broker-transaction'; readonly transaction: BrokerTransaction }
  /** proves at start, and on `keys check`, that the key signs for its address */
  | { readonly kind: 'self-test'; readonly sender: Address };

/**
 * The 32-byte digests of an intent, one for each signature it asks for. A transaction's is keccak256 of bytes that start
 * with 0x02 (EIP-2718), a delegation's of bytes that start with 0x1901 (EIP-712); every other one is an EIP-191 personal
 * message, whose preimage starts with 0x1945. What tells those apart is the message: tickets, credentials, BYOC jobs and
 * orchestrator info are 32-byte keccak256 hashes of preimages of different form (protocol rows: ticket 168 or 232 bytes;
 * credentials 64 bytes behind the manifest id, whose lengths `refuseManifestId` keeps off a ticket's; jobs begin with
 * `LP_BYOC_JOB_V1`, which `refuseManifestId` and `refuseTicketParams` keep off the others, and `refuseByocJob` keeps their
 * lengths off a ticket's; info 42 ASCII bytes that begin with 0x), a state is JSON of more than 32 bytes, a self-test is text
 * that starts with the product's name.
 */
export function digestsOf(intent: Intent): Uint8Array[] {
  switch (intent.kind) {
    case 'ticket-batch':
      return intent.tickets.map((ticket) => personalMessageDigest(hashTicket(ticket)));
    case 'segment-credentials':
      return [personalMessageDigest(keccak256(flattenSegmentCredentials(intent.manifestId)))];
    case 'byoc-job':
      return [personalMessageDigest(keccak256(encodeByocJob(intent.job)))];
    case 'orchestrator-info':
      return [personalMessageDigest(keccak256(utf8ToBytes(checksum(intent.sender))))];
    case 'session-state':
      return [personalMessageDigest(intent.state)];
    case 'state-delegation':
      return [stateDelegationDigest(intent.delegation)];
    case 'broker-transaction':
      return [brokerTransactionDigest(intent.transaction)];
    case 'self-test':
      return [
        personalMessageDigest(
          utf8ToBytes(`livepeer-hsm-signer self-test of ${checksum(intent.sender)}`),
        ),
      ];
  }
}
