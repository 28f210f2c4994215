import type { Router } from 'express';
import { z } from 'zod';
import { json } from '../../http/send.ts';
import { programVersion } from '../../program-version.ts';
import type { AdminSource } from '../admin-source.ts';
import { mountRead } from '../mount-read.ts';
import { filesSchema, keyStatusSchema, workerSchema } from '../signer-status.ts';
import { describeParts, partsSchema } from './readyz.ts';

const goNames: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', win32: 'windows' };

/** The answer to `GET /status`: the first half is go-livepeer's, for a node that transcodes nothing. */
export const statusSchema = z.strictObject({
  Manifests: z.strictObject({}),
  InternalManifests: z.strictObject({}),
  StreamInfo: z.strictObject({}),
  OrchestratorPool: z.array(z.string()).length(0),
  OrchestratorPoolInfos: z.null(),
  Version: z.string(),
  GolangRuntimeVersion: z.string(),
  GOArch: z.string(),
  GOOS: z.string(),
  RegisteredTranscodersNumber: z.literal(0),
  RegisteredTranscoders: z.array(z.string()).length(0),
  LocalTranscoding: z.literal(false),
  BroadcasterPrices: z.strictObject({}),
  ready: z.boolean(),
  parts: partsSchema,
  keys: z.array(keyStatusSchema).describe('the active one first; none while the signer starts'),
  files: filesSchema.describe('by setting: `in force`, or what is wrong with the file'),
  workers: z.array(workerSchema),
});

type Status = z.infer<typeof statusSchema>;

/**
 * The answer of go-livepeer's CLI port at `/status`, for a node that transcodes nothing: its clients look for the version, and
 * whether anything answers.
 */
const nodeStatus: Omit<Status, 'ready' | 'parts' | 'keys' | 'files' | 'workers'> = {
  Manifests: {},
  InternalManifests: {},
  StreamInfo: {},
  OrchestratorPool: [],
  OrchestratorPoolInfos: null,
  Version: programVersion(),
  GolangRuntimeVersion: `node ${process.version}`,
  GOArch: goNames[process.arch] ?? process.arch,
  GOOS: goNames[process.platform] ?? process.platform,
  RegisteredTranscodersNumber: 0,
  RegisteredTranscoders: [],
  LocalTranscoding: false,
  BroadcasterPrices: {},
};

/** `/status`: everything that the signer reports about itself, together with what a node of go-livepeer reports. */
export function mountStatus(router: Router, { status }: Pick<AdminSource, 'status'>): void {
  mountRead(router, '/status', async () => {
    const { isReady, parts, keys, files, workers } = await status();
    const answer: Status = {
      ...nodeStatus,
      ready: isReady,
      parts: describeParts(parts),
      keys: [...keys],
      files,
      workers: [...workers],
    };
    return { status: 200, headers: json, body: `${JSON.stringify(answer)}\n` };
  });
}
