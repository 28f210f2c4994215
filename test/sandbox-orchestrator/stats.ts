import type { SandboxOrchestrator } from './orchestrator.ts';
import { toIntegerText } from './rational.ts';
import { toHex } from './bytes.ts';

/** What `GET /sandbox/stats` tells; wei amounts are rounded to integers, as decimal text. */
export type SandboxStats = {
  readonly acceptedPayments: number;
  readonly acceptedTickets: number;
  readonly rejections: readonly { readonly status: number; readonly reason: string }[];
  readonly sessions: readonly {
    readonly sender: string;
    readonly manifestId: string;
    readonly acceptedPayments: number;
    readonly acceptedTickets: number;
    readonly winningTickets: number;
    readonly creditedWei: string;
    readonly debitedUnits: string;
    readonly balanceWei: string;
    readonly isDropped: boolean;
  }[];
  readonly winners: readonly {
    readonly manifestId: string;
    readonly recipientRandHash: string;
    readonly senderNonce: number;
    readonly faceValueWei: string;
  }[];
  readonly droppedSessions: readonly { readonly manifestId: string; readonly reason: string }[];
};

/** Reads the statistics of an orchestrator. */
export function collectStats(orchestrator: SandboxOrchestrator): SandboxStats {
  const { accounts } = orchestrator;
  return {
    acceptedPayments: sum(accounts.map((account) => account.acceptedPayments)),
    acceptedTickets: sum(accounts.map((account) => account.acceptedTickets)),
    rejections: orchestrator.rejections,
    sessions: accounts.map((account) => ({
      sender: account.sender,
      manifestId: account.manifestId,
      acceptedPayments: account.acceptedPayments,
      acceptedTickets: account.acceptedTickets,
      winningTickets: account.winningTickets,
      creditedWei: toIntegerText(account.creditedWei),
      debitedUnits: `${account.debitedUnits}`,
      balanceWei: toIntegerText(account.balanceWei),
      isDropped: account.droppedAtNs !== undefined,
    })),
    winners: orchestrator.winners.map(({ manifestId, ticket }) => ({
      manifestId,
      recipientRandHash: toHex(ticket.recipientRandHash),
      senderNonce: ticket.senderNonce,
      faceValueWei: `${ticket.faceValue}`,
    })),
    droppedSessions: orchestrator.droppedSessions.map(({ manifestId, reason }) => ({
      manifestId,
      reason,
    })),
  };
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
