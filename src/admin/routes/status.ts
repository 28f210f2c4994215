import type { Router } from 'express';
import { json } from '../../http/send.ts';
import { programVersion } from '../../program-version.ts';
import type { AdminSource } from '../admin-source.ts';
import { mountRead } from '../mount-read.ts';
import { describeParts } from './readyz.ts';

const goNames: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', win32: 'windows' };

/**
 * What go-livepeer's CLI port says at `/status`, of a node that transcodes nothing: clients of it look for the version, and that somebody
 * answers.
 */
const nodeStatus = {
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

/** `/status`: all that the signer says of itself, and beside it what go-livepeer's node says. */
export function mountStatus(router: Router, { status }: Pick<AdminSource, 'status'>): void {
  mountRead(router, '/status', async () => {
    const { isReady, parts, keys, files, workers } = await status();
    const own = { ready: isReady, parts: describeParts(parts), keys, files, workers };
    return { status: 200, headers: json, body: `${JSON.stringify({ ...nodeStatus, ...own })}\n` };
  });
}
