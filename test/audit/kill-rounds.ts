import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fromBinary } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import { listChains } from '../../src/audit/files.ts';
import { verifyChain } from '../../src/audit/verify-chain.ts';
import { openEmbeddedLedger } from '../../src/policy/limits/embedded/embedded-ledger.ts';
import type { Spend } from '../../src/policy/limits/ledger.ts';
import { PaymentSchema } from '../../src/wire/net_pb.ts';
import { PayingSession } from '../bench/paying-session.ts';
import { Cli, Folder, devConfig, run } from '../cli/cli.ts';
import { toHex, toInteger } from '../sandbox-orchestrator/bytes.ts';
import { personalMessageDigest } from '../sandbox-orchestrator/signatures.ts';
import { maxWinProb, ticketHash } from '../sandbox-orchestrator/ticket.ts';

const policy = `default: allow
rules:
  - id: everything
    window: { per: all, every: 30d, tickets: 100000000, ev: 1000000 ether }
`;
const windowMs = 30 * 24 * 3_600_000;

const clients = 8;
/** Rounds that go on with the same audit log. */
const roundsOfLog = 10;
const workersOfEveryFourth = 2;

/** What clients were given: digests of tickets, in hex, and what they are worth. */
type Received = { digests: string[]; ev: bigint };

export type KillReport = {
  readonly payments: number;
  readonly tickets: number;
  /** uses of the key that the kill has left without an outcome in the log */
  readonly unfinished: number;
};

/**
 * Starts the real `serve`, pays through it from several clients, kills it at a moment that `random` (0 to 1) chooses, and
 * starts it again; each time what clients have received is looked for in the audit log and in the spend ledger.
 */
export async function killRounds(rounds: number, random: () => number): Promise<KillReport> {
  using folder = new Folder();
  folder.write('policy.yaml', policy);
  const config = folder.write(
    'signer.yaml',
    `${devConfig}policy: { file: policy.yaml }\nstore: { kind: embedded, path: ledger }\n`,
  );
  const sessions = Array.from(
    { length: clients },
    (_, index) => new PayingSession(1 + (index % 3)),
  );
  const total = { payments: 0, tickets: 0, ev: 0n };
  let unfinished = 0;
  let ofThisLog: string[] = [];

  const auditOf = (round: number): string => `audit-${Math.floor(round / roundsOfLog)}`;

  function serve(round: number): Cli {
    const workers = round % 4 === 2 ? workersOfEveryFourth : 1;
    return new Cli(['serve', '--config', config, '--listen', '127.0.0.1:0'], {
      LIVEPEER_HSM_SIGNER__SERVER__WORKERS: String(workers),
      LIVEPEER_HSM_SIGNER__AUDIT: `{ path: ${auditOf(round)}, maxFileBytes: 65536 }`,
    });
  }

  let signer = serve(0);
  try {
    for (let round = 0; round < rounds; round += 1) {
      const received = payUntilGone(await signer.listening(), sessions);
      await delay(20 + random() * 400);
      await kill(signer);
      for (const { digests, ev } of await received) {
        total.payments += 1;
        total.tickets += digests.length;
        total.ev += ev;
        ofThisLog.push(...digests);
      }
      if (round % 4 === 3) {
        signer = serve(round);
        await delay(random() * 1_000);
        await kill(signer);
      }

      signer = serve(round + 1);
      await signer.listening();
      const audit = join(folder.path, auditOf(round));
      const recorded = await readKeyUses(audit);
      expect(ofThisLog.filter((digest) => !recorded.signed.has(digest))).toEqual([]);
      const spent = await readSpent(join(folder.path, 'ledger'));
      expect(spent.tickets).toBeGreaterThanOrEqual(BigInt(total.tickets));
      expect(spent.ev).toBeGreaterThanOrEqual(total.ev);
      if (auditOf(round) !== auditOf(round + 1) || round === rounds - 1) {
        const verified = await run(['audit', 'verify', audit]);
        expect(verified).toMatchObject({ status: 0, stderr: '' });
        unfinished += recorded.unfinished;
        ofThisLog = [];
      }
    }
  } finally {
    await kill(signer);
  }
  return { payments: total.payments, tickets: total.tickets, unfinished };
}

/** Kills all processes of the signer, the first one last. */
async function kill({ child }: Cli): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
  for (const pid of children.split(' ').filter(Boolean)) process.kill(Number(pid), 'SIGKILL');
  const exited = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGKILL');
  await exited;
}

/** Each session pays as fast as it can, until the signer no longer answers. */
async function payUntilGone(url: string, sessions: readonly PayingSession[]): Promise<Received[]> {
  const received: Received[] = [];
  const client = async (session: PayingSession): Promise<void> => {
    for (;;) {
      let status: number;
      let answer: string;
      try {
        const response = await fetch(`${url}/generate-live-payment`, {
          method: 'POST',
          body: session.request(),
        });
        status = response.status;
        answer = await response.text();
      } catch {
        return;
      }
      expect({ status, answer }).toMatchObject({ status: 200 });
      session.take(answer);
      received.push(readTickets(answer));
    }
  };
  await Promise.all(sessions.map(client));
  return received;
}

/** As an orchestrator reads a payment. */
function readTickets(answer: string): Received {
  const { payment } = JSON.parse(answer) as { payment: string };
  const { ticketParams, sender, expirationParams, ticketSenderParams } = fromBinary(
    PaymentSchema,
    Buffer.from(payment, 'base64'),
  );
  if (!ticketParams || !expirationParams) throw new Error('a payment without tickets');
  const faceValue = toInteger(ticketParams.faceValue);
  const winProb = toInteger(ticketParams.winProb);
  const digests = ticketSenderParams.map(({ senderNonce }) => {
    const hash = ticketHash({
      recipient: ticketParams.recipient,
      sender,
      faceValue,
      winProb,
      senderNonce,
      recipientRandHash: ticketParams.recipientRandHash,
      creation: {
        round: expirationParams.creationRound,
        blockHash: expirationParams.creationRoundBlockHash,
      },
    });
    return toHex(personalMessageDigest(hash)).replace(/^0x/, '');
  });
  return { digests, ev: (BigInt(digests.length) * faceValue * winProb) / maxWinProb };
}

/** Verifies the log. Gives the digests that it says were signed, and the number of uses without an outcome. */
async function readKeyUses(
  audit: string,
): Promise<{ signed: ReadonlySet<string>; unfinished: number }> {
  const signed = new Set<string>();
  const begun = new Map<unknown, readonly string[]>();
  for (const { path } of await listChains(audit)) {
    await verifyChain(path, ({ kind, use, digests }) => {
      if (kind === 'key-use') begun.set(use, digests as readonly string[]);
      if (kind === 'signed') for (const digest of begun.get(use) ?? []) signed.add(digest);
      if (kind === 'signed' || kind === 'failed') begun.delete(use);
      return undefined;
    });
  }
  return { signed, unfinished: begun.size };
}

async function readSpent(folder: string): Promise<Spend> {
  const ledger = await openEmbeddedLedger({ folder, log: () => undefined });
  const charge = { ruleId: 'everything', scope: '', windowMs, limits: {}, isEnforced: true };
  try {
    const [spent] = await ledger.usage([charge]);
    if (!spent) throw new Error('the ledger does not know the window');
    return spent;
  } finally {
    await ledger.close();
  }
}
