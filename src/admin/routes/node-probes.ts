import type { Router } from 'express';
import { type Answer, json, plainText } from '../../http/send.ts';
import type { AdminSource } from '../admin-source.ts';
import { mountRead } from '../mount-read.ts';
import type { KeyStatus } from '../signer-status.ts';

const amount = { type: 'integer', minimum: 0 };

/** The answer to `GET /senderInfo`: amounts in wei, which have more digits than a double holds. */
export const senderInfoSchema = {
  type: 'object',
  description: 'numbers of any size, amounts in wei: read them digit by digit',
  properties: {
    Deposit: amount,
    WithdrawRound: amount,
    Reserve: {
      type: 'object',
      properties: { FundsRemaining: amount, ClaimedInCurrentRound: amount },
      required: ['FundsRemaining', 'ClaimedInCurrentRound'],
      additionalProperties: false,
    },
  },
  required: ['Deposit', 'WithdrawRound', 'Reserve'],
  additionalProperties: false,
};

/**
 * The questions that clearinghouses ask at go-livepeer's CLI port, about the active key: `/ethAddr`, `/EthChainID` and
 * `/senderInfo`, in go-livepeer's forms. 503 while the signer starts.
 */
export function mountNodeProbes(router: Router, { status }: Pick<AdminSource, 'status'>): void {
  const probe = (path: string, describe: (key: KeyStatus) => Answer): void =>
    mountRead(router, path, async () => {
      const { keys } = await status();
      const [active] = keys;
      return active ? describe(active) : starting;
    });
  probe('/ethAddr', ({ address }) => ok(address));
  probe('/EthChainID', ({ chain }) => ok(String(chain.chainId)));
  probe('/senderInfo', ({ chain }) => {
    const { depositWei, withdrawRound, reserveWei, claimedInRoundWei } = chain;
    const reserve = `{"FundsRemaining":${reserveWei},"ClaimedInCurrentRound":${claimedInRoundWei}}`;
    // written as text, since the numbers may be of any size
    const body = `{"Deposit":${depositWei},"WithdrawRound":${withdrawRound},"Reserve":${reserve}}`;
    return { status: 200, headers: json, body };
  });
}

const ok = (body: string): Answer => ({ status: 200, headers: plainText, body });

const starting: Answer = { status: 503, headers: plainText, body: 'the signer is starting\n' };
