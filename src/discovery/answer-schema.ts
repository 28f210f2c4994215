import { z } from 'zod';

const count = z.int();

/** A runner as it is listed. */
const runnerSchema = z.strictObject({
  url: z.string(),
  app: z.string(),
  capacity: count,
  capacity_used: count,
  capacity_available: count,
  gpu: z.strictObject({ id: z.string(), name: z.string(), vram_mb: count }).optional(),
  version: z.string().optional(),
  metadata: z.string().optional().describe('text of the runner, at most 1,024 bytes'),
  mode: z.string().optional().describe('`single-shot` or `persistent`'),
  price_info: z.strictObject({
    price: z.number().describe('wei for a unit, without an exponent'),
    currency: z.literal('wei'),
    unit: z.enum(['seconds', '720p-pixel-seconds', 'fixed']),
  }),
});

/** The answer to `GET /discover-orchestrators`. */
export const discoveryAnswerSchema = z.array(
  z.strictObject({
    address: z.string().describe("the orchestrator's service URL"),
    score: z.literal(1).describe('trusted'),
    capabilities: z.array(z.string()).describe('`pipeline/model`, and the app of each runner'),
    runners: z.array(runnerSchema).optional(),
    last_seen: z.iso.datetime().describe('all that the entry says was said then or later'),
  }),
);
