import { keccak256 } from './bytes.ts';
import { findSignatureFault } from './signatures.ts';

/** The `Livepeer` header of a BYOC job: base64 of JSON. */
type JobHeader = {
  readonly id: string;
  readonly capability: string;
  readonly request: string;
  readonly parameters?: string;
  readonly timeout_seconds: number;
  readonly sender: string;
  readonly sig: string;
};

const prefix = Buffer.from('LP_BYOC_JOB_V1\0\0', 'latin1');

/** Why an orchestrator refuses a job as one that its sender answers for, or undefined if it takes it. */
export function findByocJobFault(header: string): string | undefined {
  let job: JobHeader;
  try {
    job = JSON.parse(Buffer.from(header, 'base64').toString()) as JobHeader;
  } catch {
    return 'the header is no JSON in base64';
  }
  const { id, capability, request, parameters = '', timeout_seconds: timeout, sender, sig } = job;
  if (!/^0x[0-9a-fA-F]{40}$/.test(sender) || !/^0x[0-9a-f]{130}$/.test(sig)) {
    return 'nobody has signed it';
  }
  const texts = [id, capability, request, parameters].map((text) => Buffer.from(text));
  const message = keccak256(
    prefix,
    uint32(timeout),
    ...texts.flatMap((text) => [uint32(text.length), text]),
  );
  return findSignatureFault(
    Buffer.from(sender.slice(2), 'hex'),
    message,
    Buffer.from(sig.slice(2), 'hex'),
  );
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
