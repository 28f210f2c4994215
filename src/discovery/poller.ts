import { setTimeout as delay } from 'node:timers/promises';
import { OutgoingError, type OutgoingFailure } from '../outgoing/outgoing-error.ts';
import type { Address } from '../pm/bytes.ts';
import { AskQueue } from './ask-queue.ts';
import type { OrchestratorClient } from './ask-orchestrator.ts';
import type { Offer } from './offers.ts';
import type { OrchestratorTerms } from './read-orchestrator-info.ts';
import { parseServiceUrl } from './service-url.ts';
import { type DiscoverySnapshot, type HeardOffer, mergeOffers } from './snapshot.ts';
import type { OrchestratorSource } from './sources.ts';

/** What an orchestrator is asked for. */
export type AskedPart = 'terms' | 'runners';

export type PollerOptions = {
  /** all are asked, at once; each one's last good list stays while it fails */
  readonly sources: readonly OrchestratorSource[];
  readonly client: OrchestratorClient;
  /** further nodes of an orchestrator that are asked too */
  readonly extraNodes: number;
  /** orchestrators that are not listed */
  readonly blocklist: readonly Address[];
  /** from the beginning of one round to that of the next, more or less a tenth */
  readonly refreshIntervalMs: number;
  /** an answer that is older is not listed */
  readonly maxAgeMs: number;
  /** Takes each new snapshot, also one that is like the last. */
  readonly publish: (snapshot: DiscoverySnapshot) => void;
  /** Is told of each answer, and of each failure. */
  readonly observe: (
    part: AskedPart,
    outcome: 'answered' | OutgoingFailure,
    seconds: number,
  ) => void;
  readonly log: (
    level: 'info' | 'warn',
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ) => void;
};

export type DiscoveryPoller = {
  /** Asks nothing more. */
  close(): void;
};

/** An answer, when it came by the clock of the wall, and by one that nobody sets. */
type Heard<Value> = { readonly value: Value; readonly at: number; readonly monotonicMs: number };

type Orchestrator = {
  readonly serviceUrl: string;
  terms?: Heard<OrchestratorTerms>;
  runners?: Heard<readonly Offer[]>;
  /** the parts whose last question failed */
  readonly failures: Set<AskedPart>;
};

const maxOrchestrators = 500;
const maxAskedAtOnce = 16;
/** Answers that come so close together make one snapshot. */
const gatheringMs = 250;
/** Log lines about runners; more would tell nothing new. */
const maxReportedConflicts = 100;

/**
 * Asks all orchestrators again and again, and publishes what is known after each answer. An orchestrator that fails keeps what it
 * said last, until that is too old: no answer of one makes another wait, or vanish.
 */
export function startPoller(options: PollerOptions): DiscoveryPoller {
  const { sources, client, refreshIntervalMs, maxAgeMs, log } = options;
  const blocked = new Set(options.blocklist);
  const closed = new AbortController();
  const queue = new AskQueue(maxAskedAtOnce);
  const orchestrators = new Map<string, Orchestrator>();
  const lists = new Map<OrchestratorSource, readonly string[]>();
  const failingSources = new Set<OrchestratorSource>();
  /** how many of a source's last list were no service URLs */
  const unusableCounts = new Map<OrchestratorSource, number>();
  const reportedConflicts = new Set<string>();
  let publication: NodeJS.Timeout | undefined;
  let expiry: NodeJS.Timeout | undefined;

  async function ask(orchestrator: Orchestrator): Promise<void> {
    const { serviceUrl } = orchestrator;
    await queue.run(new URL(serviceUrl).host, async () => {
      if (closed.signal.aborted) return;
      await Promise.all([
        hear(orchestrator, 'terms', client.askTerms(serviceUrl, closed.signal), (heard) => {
          orchestrator.terms = heard;
        }),
        hear(orchestrator, 'runners', client.askRunners(serviceUrl, closed.signal), (heard) => {
          orchestrator.runners = heard;
        }),
      ]);
    });
  }

  async function hear<Value>(
    { serviceUrl, failures }: Orchestrator,
    part: AskedPart,
    answer: Promise<Value>,
    keep: (heard: Heard<Value>) => void,
  ): Promise<void> {
    const fields = { orchestrator: serviceUrl, part };
    const askedAtMs = performance.now();
    const seconds = (): number => (performance.now() - askedAtMs) / 1000;
    try {
      keep({ value: await answer, at: Date.now(), monotonicMs: performance.now() });
      options.observe(part, 'answered', seconds());
      if (failures.delete(part)) log('info', 'an orchestrator answers again', fields);
      publishSoon();
    } catch (error) {
      if (closed.signal.aborted) return;
      // whatever an orchestrator sent, payments must go on
      const { failure, message } =
        error instanceof OutgoingError ? error : new OutgoingError('malformed', String(error));
      options.observe(part, failure, seconds());
      if (failures.has(part)) return;
      failures.add(part);
      log('info', 'an orchestrator does not answer', { ...fields, reason: message });
    }
  }

  /** Asks whatever the sources name, each orchestrator once; forgets what none of them names any more. */
  async function askAll(): Promise<void> {
    const named = new Map<string, Promise<void>>();
    const askOnce = (text: string): Orchestrator | undefined => {
      const serviceUrl = parseServiceUrl(text);
      if (serviceUrl === undefined || named.has(serviceUrl)) return undefined;
      if (named.size >= maxOrchestrators) return undefined;
      const orchestrator = orchestrators.get(serviceUrl) ?? { serviceUrl, failures: new Set() };
      orchestrators.set(serviceUrl, orchestrator);
      named.set(serviceUrl, ask(orchestrator));
      return orchestrator;
    };
    await Promise.all(
      sources.map(async (source) => {
        const texts = await listFrom(source);
        const listed = texts.flatMap((text) => askOnce(text) ?? []);
        await Promise.all(
          listed.map(async (orchestrator) => {
            await named.get(orchestrator.serviceUrl);
            const nodes = orchestrator.terms?.value.nodes ?? [];
            nodes.slice(0, options.extraNodes).forEach(askOnce);
          }),
        );
      }),
    );
    await Promise.all(named.values());
    for (const serviceUrl of orchestrators.keys()) {
      if (!named.has(serviceUrl)) orchestrators.delete(serviceUrl);
    }
  }

  async function listFrom(source: OrchestratorSource): Promise<readonly string[]> {
    const fields = { source: source.name };
    try {
      const texts = await source.list(closed.signal);
      lists.set(source, texts);
      tellUnusable(source, texts);
      if (failingSources.delete(source)) log('info', 'orchestrators can be listed again', fields);
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown';
      if (!failingSources.has(source) && !closed.signal.aborted) {
        log('warn', "orchestrators can't be listed; the last list stays", { ...fields, reason });
      }
      failingSources.add(source);
    }
    return lists.get(source) ?? [];
  }

  /** Once for each number of them: what a list says stays the same for days. */
  function tellUnusable(source: OrchestratorSource, texts: readonly string[]): void {
    const count = texts.filter((text) => parseServiceUrl(text) === undefined).length;
    const earlier = unusableCounts.get(source) ?? 0;
    unusableCounts.set(source, count);
    if (count === earlier || count === 0) return;
    const fields = { source: source.name, count, listed: texts.length };
    log('info', 'some listed orchestrators have no service URL, and are left out', fields);
  }

  function publishSoon(): void {
    publication ??= setTimeout(publish, gatheringMs);
  }

  function publish(): void {
    clearTimeout(publication);
    clearTimeout(expiry);
    publication = undefined;
    if (closed.signal.aborted) return;
    const nowMs = performance.now();
    const heard = [...orchestrators.values()]
      .filter((orchestrator) => isListed(orchestrator))
      .flatMap((orchestrator) => listParts(orchestrator))
      .filter(({ monotonicMs }) => nowMs - monotonicMs < maxAgeMs);
    const oldestMs = Math.min(...heard.map(({ monotonicMs }) => monotonicMs));
    if (heard.length > 0) expiry = setTimeout(publish, oldestMs + maxAgeMs - nowMs + 1).unref();

    const { snapshot, conflicts } = mergeOffers(heard.flatMap(({ offers }) => offers));
    for (const runner of conflicts) {
      if (reportedConflicts.has(runner) || reportedConflicts.size >= maxReportedConflicts) continue;
      reportedConflicts.add(runner);
      log('info', 'orchestrators differ about a runner; the first one counts', { runner });
    }
    options.publish(snapshot);
  }

  /** One that has never said who it is may be blocked. */
  function isListed({ terms }: Orchestrator): boolean {
    return terms ? !blocked.has(terms.value.ethAddress) : blocked.size === 0;
  }

  async function keepAsking(): Promise<void> {
    while (!closed.signal.aborted) {
      const startedAtMs = performance.now();
      await askAll();
      publish();
      const intervalMs = refreshIntervalMs * (0.9 + 0.2 * Math.random());
      await wait(Math.max(0, startedAtMs + intervalMs - performance.now()), closed.signal);
    }
  }

  void keepAsking();
  return {
    close() {
      clearTimeout(publication);
      clearTimeout(expiry);
      closed.abort();
    },
  };
}

/** What was heard from an orchestrator, each part with its own age. */
function listParts({
  serviceUrl,
  terms,
  runners,
}: Orchestrator): { monotonicMs: number; offers: HeardOffer[] }[] {
  const toPart = ({ value, at, monotonicMs }: Heard<readonly Offer[]>) => ({
    monotonicMs,
    offers: value.map((offer) => ({
      ...offer,
      heardAt: at,
      isOwn: offer.address === serviceUrl,
    })),
  });
  return [
    ...(terms ? [toPart({ ...terms, value: [terms.value.offer] })] : []),
    ...(runners ? [toPart(runners)] : []),
  ];
}

/** Returns when the time has passed, or the signal was aborted. */
async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
