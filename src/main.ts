import { setTimeout as delay } from 'node:timers/promises';
import { createCallerIdentifier } from './auth/caller.ts';
import { openAuthentication } from './compose/authentication.ts';
import { openDiscovery } from './compose/discovery.ts';
import { withActiveKey } from './compose/key.ts';
import { openRecords } from './compose/records.ts';
import { type OpenSender, type SenderClocks, openSender } from './compose/sender.ts';
import { watchSigning } from './compose/signing-switch.ts';
import { workerSlot } from './compose/this-worker.ts';
import { toTlsFiles, watchTlsFiles } from './compose/tls.ts';
import { openTraces } from './compose/traces.ts';
import { refuseOpenServer } from './config/exposure.ts';
import type { Config } from './config/load.ts';
import type { WatchedFileState } from './config/watched-file.ts';
import { ConfigError, ServerError, isSignerError } from './errors.ts';
import { type HttpServer, listen } from './http/listen.ts';
import { createHttpApp } from './http/server.ts';
import type { Logger } from './telemetry/logger.ts';
import { type Metrics, createMetrics } from './telemetry/metrics.ts';
import { curveLibrary } from './keys/secp256k1.ts';
import { programVersion } from './program-version.ts';
import { randomId } from './random-id.ts';
import { generateLivePayment } from './payments/generate-live-payment.ts';
import { signByocJob } from './payments/sign-byoc-job.ts';
import { type Readiness, createReadinessCheck } from './admin/readiness.ts';
import {
  type ProcessStatus,
  type SealStatus,
  describeChain,
  inForce,
} from './admin/signer-status.ts';
import { type Sender, type Senders, chooseSender, describeSender } from './payments/senders.ts';
import { UnderWay } from './under-way.ts';

/** What tests replace to make answers repeatable. */
export type Sources = SenderClocks & {
  /** 128 random bits as 32 hex digits */
  readonly randomId: () => string;
};

/** How long stopping waits for requests whose clients have left: longer than a store or a disk should take to be told. */
const closeTimeoutMs = 5_000;

const stopping = 'the signer is stopping';

const closing: Readiness = {
  isReady: false,
  parts: [{ name: 'server', isReady: false, code: 'SERVER_STOPPING', reason: stopping, ageMs: 0 }],
};

const systemNow = (): bigint => BigInt(Date.now()) * 1_000_000n;

const systemSources: Sources = {
  now: systemNow,
  sealNow: systemNow,
  elapsedMs: () => performance.now(),
  randomId,
};

export type RunningSigner = {
  /** The sender address, lower-case. */
  readonly address: string;
  readonly checksumAddress: string;
  readonly url: string;
  readonly isNewKey: boolean;
  /** What this process says of itself. */
  status(): Promise<ProcessStatus>;
  /**
   * Turns readiness red and asks clients to close their connections while it still serves for `lameDuckMs`, 0 unless told; then lets
   * requests under way finish, and lets go of the key.
   */
  close(lameDuckMs?: number): Promise<void>;
};

/**
 * Starts the signer: keys, self-tests, orchestrator-info signatures, then the HTTP server. Throws `SignerError`s that say
 * what to do; nothing is left running then.
 */
export async function startSigner(
  config: Config,
  logger: Logger,
  sources: Sources = systemSources,
  metrics: Metrics = createMetrics(),
): Promise<RunningSigner> {
  const { settings } = config;
  refuseOpenServer(config.settings);
  tellBuild(logger, metrics);
  await using opened = new AsyncDisposableStack();
  opened.use(await openTraces(config, logger));
  const records = opened.use(await openRecords(config, logger, metrics));
  const openSenders: OpenSender[] = [];
  const open = async (part: Config, role: Sender['role']): Promise<OpenSender> => {
    const sender = await openSender(part, role, logger, records, sources, metrics);
    opened.defer(() => sender.close());
    openSenders.push(sender);
    return sender;
  };
  const active = await open(withActiveKey(config), 'active');
  const retiring: Sender[] = [];
  for (const key of config.keys.filter(({ isRetiring }) => isRetiring)) {
    retiring.push((await open({ ...config, keys: [key] }, 'retiring')).sender);
  }
  const senders: Senders = [active.sender, ...retiring];
  requireDifferentKeys(senders);

  const service = {
    senders,
    billingRule: settings.billing.rule,
    stateFields: settings.session.fields,
    ticketNonces: settings.session.ticketNonces,
    manifestIdRule: settings.session.manifestId,
    asksWebhook: settings.auth.webhook !== undefined,
    answers: records.answers,
    recordDenial: records.recordDenial,
    requireSigning: () => records.signingPermit.require(),
    encodeEvent: records.encodeEvent,
    ...sources,
  };
  let isStopping = false;
  let isClosing = false;
  const checkParts = createReadinessCheck({
    checkKey: active.checkKey,
    chain: active.sender.chain,
    healthChecks: [
      {
        name: 'server',
        check: () => {
          if (isStopping) throw new ServerError('SERVER_STOPPING', stopping);
        },
      },
      {
        name: 'seal',
        // throws when the delegation that states are sealed under has ended
        check: () => void active.sender.instanceSeal?.current(),
      },
      ...records.healthChecks,
    ],
    log: (level, message, fields) => logger[level](fields, message),
  });
  // what is being closed can't be used, which is no news of it
  const checkReadiness = (): Promise<Readiness> =>
    isClosing ? Promise.resolve(closing) : checkParts();
  const nowMs = (): number => Number(sources.now() / 1_000_000n);
  const authentication = await openAuthentication(config, logger, nowMs);
  opened.defer(() => authentication.close());
  const discovery = await openDiscovery(config, active.sender, logger, metrics);
  opened.defer(() => discovery?.close());
  const files = [records.policyFile, ...authentication.files];
  metrics.watchFiles(files);
  const signing = watchSigning(records.signingPermit, logger);
  opened.defer(() => signing.close());
  metrics.watchSwitch(() => signing.isStopped());
  // requests outlive the connections of clients that have left
  const underWay = new UnderWay();
  opened.defer(() => underWay.end(closeTimeoutMs));
  const server = await serve(config, {
    async orchestratorInfo(caller) {
      await records.signingPermit.require();
      return chooseSender(senders, caller).orchestratorInfo.signed();
    },
    generateLivePayment: (call) => underWay.add(generateLivePayment(service, call)),
    signByocJob: settings.byoc.enabled
      ? (call) => underWay.add(signByocJob(service, call))
      : undefined,
    identifyCaller: createCallerIdentifier({
      authenticate: authentication.authenticate,
      trustedProxies: settings.auth.trustedProxies,
      credentialHeaders: settings.auth.webhook?.credentialHeaders,
    }),
    protectOrchestratorInfo: settings.auth.protectOrchestratorInfo,
    discovery: discovery &&
      settings.discovery && {
        answer: discovery.answer,
        requestsPerSecond: settings.discovery.requestsPerSecond,
        isProtected: settings.auth.protectDiscovery,
      },
    logger,
    corsOrigins: settings.server.cors.origins,
    bodyLimitBytes: settings.server.bodyLimitBytes,
    requestDeadlineMs: settings.server.requestDeadlineMs,
    maxRequestsInWork: settings.server.maxRequestsInWork,
    metrics,
    isReady: async () => (await checkReadiness()).isReady,
  });
  opened.defer(() => server.close());
  const tls = toTlsFiles(config, 'server.tls', settings.server.tls);
  if (tls) {
    const watched = watchTlsFiles(tls, logger, (renewed) => server.renewTls(renewed));
    opened.defer(() => watched.close());
  }
  metrics.watchReadiness(async () => (await checkReadiness()).parts);
  metrics.watchSenders(() =>
    openSenders.map(({ sender: { orchestratorInfo, gate, usage, chain }, members }) => {
      const status = chain.status();
      const { deposit, reserve } = status?.facts ?? chain.currentFacts();
      return {
        address: orchestratorInfo.address,
        sessionsInLastHour: usage.sessionsInLastHour(nowMs()),
        waitingCalls: gate.waitingCalls(),
        deposit,
        reserve,
        members: members(),
        chain: status,
      };
    }),
  );
  const { address } = active.sender.orchestratorInfo;
  logger.info({ url: server.url, address, key: active.provider.keyRef }, 'listening');
  const kept = opened.move();
  return {
    address: active.sender.gate.address,
    checksumAddress: address,
    url: server.url,
    isNewKey: active.isNew,
    async status() {
      const { parts } = await checkReadiness();
      const keys = senders.map((sender) => ({
        ...describeSender(sender, nowMs()),
        chain: describeChain(sender.chain),
      }));
      return {
        worker: workerSlot(),
        parts,
        keys,
        files: describeFiles(files),
        seals: senders.flatMap(describeSeal),
        orchestrators: discovery?.listed(),
      };
    },
    async close(lameDuckMs = 0) {
      isStopping = true;
      server.sayGoodbye();
      if (lameDuckMs > 0) await delay(lameDuckMs);
      isClosing = true;
      await kept.disposeAsync();
    },
  };
}

/** What a file that is not in force says of payments is told, and makes nobody unready: what was in force before still is. */
function describeFiles(files: readonly WatchedFileState[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    files.map((file) => [file.setting, file.problem() ?? inForce] as const),
  );
}

function describeSeal({ instanceSeal, orchestratorInfo }: Sender): readonly SealStatus[] {
  const held = instanceSeal?.delegation();
  if (!held) return [];
  const endsAt = new Date(Number(held.notAfter) * 1000).toISOString();
  return [{ address: orchestratorInfo.address, instanceKey: held.instanceKey, endsAt }];
}

function tellBuild(logger: Logger, metrics: Metrics): void {
  metrics.describeBuild({ version: programVersion(), node: process.version, curve: curveLibrary });
  if (curveLibrary === 'libsecp256k1') return;
  logger.warn(
    { curve: curveLibrary, platform: process.platform, arch: process.arch },
    'the native secp256k1 library does not work on this platform: public keys are recovered in JavaScript, 1 ms a signature ' +
      'instead of 0.05 ms; see docs/metrics.md',
  );
}

function requireDifferentKeys(senders: Senders): void {
  const addresses = senders.map(({ gate }) => gate.address);
  if (new Set(addresses).size === addresses.length) return;
  throw new ConfigError(
    'CONFIG_INVALID',
    'keys: a retiring key is the active key, or is listed twice; replicas of the active key are not retiring',
  );
}

async function serve(
  config: Config,
  options: Parameters<typeof createHttpApp>[0],
): Promise<HttpServer> {
  const { server } = config.settings;
  const { host, port } = server.listen;
  try {
    return await listen(createHttpApp(options), {
      setting: 'server.listen or --listen',
      host,
      port,
      tls: toTlsFiles(config, 'server.tls', server.tls),
      headersTimeoutMs: server.headersTimeoutMs,
      receiveTimeoutMs: server.receiveTimeoutMs,
      keepAliveTimeoutMs: server.keepAliveTimeoutMs,
      answerTimeoutMs: server.requestDeadlineMs,
      maxIdleConnections: server.maxIdleConnections,
    });
  } catch (cause) {
    if (isSignerError(cause)) throw cause;
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new ConfigError('CONFIG_INVALID', `can't listen on ${host}:${port}: ${reason}`, {
      cause,
    });
  }
}
