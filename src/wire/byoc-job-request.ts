import { z } from 'zod';
import { RequestError } from '../errors.ts';
import type { ByocJob } from '../pm/byoc-job.ts';

const text = z
  .string('expected text')
  .refine((value) => value.isWellFormed(), 'expected text without lone surrogates');
const name = text.min(1, 'expected text that is not empty');
const seconds = 'expected an integer from 1 to 4294967295';

/** The body of `POST /sign-byoc-job`. */
export const byocJobRequestSchema = z.object({
  id: name.describe("the client's name of the job"),
  capability: name.describe("the orchestrator's name of what is to run"),
  request: text.describe('what is sent to it'),
  parameters: text.describe('how; may be empty'),
  timeout_seconds: z
    .int(seconds)
    .min(1, seconds)
    .max(0xffff_ffff, seconds)
    .describe('for how long it may take'),
});

/** Reads the body of `POST /sign-byoc-job`; unknown members are ignored. Throws `BODY_MALFORMED`, which names the field. */
export function decodeByocJobRequest(body: Uint8Array): ByocJob {
  const parsed = byocJobRequestSchema.safeParse(parseJson(body));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const field = issue?.path.join('.') ?? '';
    const expected = issue?.message ?? 'invalid';
    throw new RequestError(
      'BODY_MALFORMED',
      field === '' ? 'expected a JSON object' : `field ${field}: ${expected}`,
      { data: { field } },
    );
  }
  const { timeout_seconds: timeoutSeconds, ...texts } = parsed.data;
  return { ...texts, timeoutSeconds };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(body));
  } catch (cause) {
    // the parser's own message would quote the body
    throw new RequestError('BODY_MALFORMED', 'the body is not JSON in UTF-8', { cause });
  }
}
