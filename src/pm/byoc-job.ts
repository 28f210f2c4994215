import { concatBytes, utf8ToBytes } from './bytes.ts';
import type { Refusal } from './refusal.ts';
import { ticketPreimageLengths } from './ticket.ts';

/** A job for a capability that an orchestrator offers itself (BYOC), as its sender signs it. Texts have no lone surrogates. */
export type ByocJob = {
  readonly id: string;
  readonly capability: string;
  readonly request: string;
  readonly parameters: string;
  /** 1 to 2^32 − 1 */
  readonly timeoutSeconds: number;
};

/** How all jobs begin; nothing else that is signed as the hash of a preimage begins like this. */
export const byocJobTag = 'LP_BYOC_JOB_V1';

const tag = utf8ToBytes(byocJobTag);
const tagLength = 16;

/**
 * The bytes that a job's signature covers: 16 bytes that begin with `LP_BYOC_JOB_V1` and end with zeros ‖ the time-out (uint32,
 * big-endian) ‖ for each of id, capability, request and parameters its length (uint32, big-endian) ‖ its UTF-8 bytes
 * (go-livepeer, feat/remote-signer-byoc).
 */
export function encodeByocJob(job: ByocJob): Uint8Array {
  const texts = [job.id, job.capability, job.request, job.parameters].map(utf8ToBytes);
  const head = new Uint8Array(tagLength);
  head.set(tag);
  return concatBytes(
    head,
    uint32(job.timeoutSeconds),
    ...texts.flatMap((text) => [uint32(text.length), text]),
  );
}

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** Whether bytes begin with {@link byocJobTag}. */
export function startsAsByocJob(preimage: Uint8Array): boolean {
  return tag.every((byte, index) => preimage[index] === byte);
}

/** Refuses a job that is as long as a ticket's preimage: its signature could be passed off as a ticket's. */
export function refuseByocJob(job: ByocJob): Refusal | undefined {
  const { length } = encodeByocJob(job);
  return ticketPreimageLengths.includes(length)
    ? { code: 'BYOC_JOB_INVALID', data: { length } }
    : undefined;
}
