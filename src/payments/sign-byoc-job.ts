import { z } from 'zod';
import type { Caller } from '../auth/authorization.ts';
import type { ByocJob } from '../pm/byoc-job.ts';
import { toHex } from '../pm/bytes.ts';
import type { AllowedByocJob } from '../policy/decide-byoc-job.ts';
import { decodeByocJobRequest } from '../wire/byoc-job-request.ts';
import { describeJob } from '../policy/grant-reasons.ts';
import { type DenialRecorder, isDenial } from './denials.ts';
import { RefusalError } from './refusal-error.ts';
import { type Senders, chooseSender } from './senders.ts';
import { traceDecision } from './trace-decision.ts';

export type ByocService = {
  readonly senders: Senders;
  readonly recordDenial: DenialRecorder;
  /** Throws `SIGNING_PAUSED` and `SIGNING_SWITCH_UNAVAILABLE`. */
  readonly requireSigning: () => Promise<void>;
  /** Unix nanoseconds */
  readonly now: () => bigint;
};

export type ByocCall = {
  readonly body: Uint8Array;
  readonly caller: Caller;
  readonly requestId: string;
  /** aborted at the request's deadline, or when the client is gone */
  readonly signal: AbortSignal;
};

/** The answer to `POST /sign-byoc-job`, in the order its keys are written. */
export const byocSignatureSchema = z.strictObject({
  sender: z
    .string()
    .regex(/^0x[0-9a-fA-F]{40}$/)
    .describe('who answers for the job, EIP-55'),
  signature: z
    .string()
    .regex(/^0x[0-9a-f]{130}$/)
    .describe('r ‖ s ‖ v, 65 bytes'),
});

export type SignedByocJob = Readonly<z.infer<typeof byocSignatureSchema>> & {
  readonly job: ByocJob;
  readonly allowed: Pick<AllowedByocJob, 'principal' | 'rules' | 'observed'>;
};

/** Signs one BYOC job, from body to signature. Throws `SignerError`s; then nothing is spent, unless the key was called. */
export async function signByocJob(
  { senders, recordDenial, requireSigning, now }: ByocService,
  { body, caller, requestId, signal }: ByocCall,
): Promise<SignedByocJob> {
  await requireSigning();
  const job = decodeByocJobRequest(body);
  let payer: string | undefined;
  try {
    const { policy, gate, orchestratorInfo } = chooseSender(senders, caller);
    payer = gate.address;
    const proposal = { requestId, caller, job, now: now() };
    const verdict = await traceDecision({ kind: 'byoc-job' }, () =>
      policy.decideByocJob(proposal, signal),
    );
    if (verdict.kind === 'deny') throw new RefusalError(verdict.refusal, verdict);
    let calls = 0;
    try {
      const onCall = (): void => void (calls += 1);
      const [signature = new Uint8Array()] = await gate.sign(verdict.grant, { signal, onCall });
      return {
        sender: orchestratorInfo.address,
        signature: toHex(signature),
        job,
        allowed: verdict,
      };
    } catch (error) {
      if (calls === 0) await verdict.release();
      throw error;
    }
  } catch (error) {
    if (isDenial(error)) {
      const seen = describeJob(job);
      recordDenial({ error, requestId, caller, sender: payer, seen });
    }
    throw error;
  }
}
