import type { Offer, Runner } from './offers.ts';

/** What one orchestrator offers somewhere, and when it said so. */
export type HeardOffer = Offer & {
  /** Unix milliseconds */
  readonly heardAt: number;
  /** whether the orchestrator was asked at the address that the offer is for */
  readonly isOwn: boolean;
};

/** One element of the answer. */
export type Entry = {
  readonly address: string;
  /** sorted, each once; a runner's app is one */
  readonly capabilities: readonly string[];
  readonly runners: readonly Pick<Runner, 'app' | 'gpu' | 'json'>[];
  /** RFC 3339: all that the entry says was said then or later */
  readonly lastSeen: string;
};

/** What is known of orchestrators at one moment; data only, so that processes can hand it on. */
export type DiscoverySnapshot = {
  /** sorted by address, so that the answer of every instance is the same */
  readonly entries: readonly Entry[];
};

const maxEntries = 500;
const maxAnswerBytes = 4_194_304;

/**
 * One entry for each address: capabilities united, each runner once, and what an orchestrator says of itself before what others
 * say of it. When the answer would be too large, the largest entries are left out.
 */
export function mergeOffers(offers: readonly HeardOffer[]): {
  readonly snapshot: DiscoverySnapshot;
  /** URLs of runners for which there are different terms */
  readonly conflicts: readonly string[];
} {
  const merged = new Map<
    string,
    { runners: Map<string, Runner>; names: Set<string>; at: number }
  >();
  const conflicts = new Set<string>();
  const ownFirst = offers.toSorted((a, b) => Number(b.isOwn) - Number(a.isOwn));
  for (const { address, capabilities, runners, heardAt } of ownFirst) {
    if (capabilities.length + runners.length === 0) continue;
    let entry = merged.get(address);
    if (!entry)
      merged.set(address, (entry = { runners: new Map(), names: new Set(), at: heardAt }));
    entry.at = Math.min(entry.at, heardAt);
    for (const name of capabilities) entry.names.add(name);
    for (const runner of runners) {
      const known = entry.runners.get(runner.url);
      if (known && known.terms !== runner.terms) conflicts.add(runner.url);
      if (known) continue;
      entry.runners.set(runner.url, runner);
      entry.names.add(runner.app);
    }
  }
  const entries = Array.from(merged, ([address, { runners, names, at }]): Entry => ({
    address,
    capabilities: [...names].sort(),
    runners: Array.from(runners.values(), ({ app, gpu, json }) => ({ app, gpu, json })),
    lastSeen: new Date(at).toISOString(),
  }));
  const listed = keepWithinBounds(entries).sort((a, b) => (a.address < b.address ? -1 : 1));
  return { snapshot: { entries: listed }, conflicts: [...conflicts] };
}

function keepWithinBounds(entries: readonly Entry[]): Entry[] {
  const bySize = entries
    .map((entry) => ({ entry, bytes: Buffer.byteLength(formatEntry(entry)) + 1 }))
    .sort((a, b) => a.bytes - b.bytes);
  let bytes = 0;
  return bySize
    .filter((sized) => (bytes += sized.bytes) < maxAnswerBytes)
    .slice(0, maxEntries)
    .map(({ entry }) => entry);
}

/** The values of each query parameter; none of a kind is no filter of that kind. */
export type DiscoveryFilter = {
  readonly caps: readonly string[];
  readonly apps: readonly string[];
  readonly gpus: readonly string[];
};

/**
 * The answer to `GET /discover-orchestrators`, a JSON array and a line break. An entry has one of `caps`; of its runners those are left
 * that have one of `apps` and one of `gpus`, and an entry that these filters leave without runners is left out.
 */
export function formatAnswer({ entries }: DiscoverySnapshot, filter: DiscoveryFilter): string {
  const { caps, apps, gpus } = filter;
  const filtersRunners = apps.length + gpus.length > 0;
  const texts = entries.flatMap((entry) => {
    if (caps.length > 0 && !caps.some((name) => entry.capabilities.includes(name))) return [];
    if (!filtersRunners) return [formatEntry(entry)];
    const runners = entry.runners.filter(
      ({ app, gpu }) => isAmong(app, apps) && isAmong(gpu, gpus),
    );
    return runners.length === 0 ? [] : [formatEntry({ ...entry, runners })];
  });
  return `[${texts.join(',')}]\n`;
}

function isAmong(value: string, wanted: readonly string[]): boolean {
  return wanted.length === 0 || wanted.includes(value);
}

/** go-livepeer's gateways trust what has a score of 1. */
function formatEntry({ address, capabilities, runners, lastSeen }: Entry): string {
  const list = runners.map(({ json }) => json).join(',');
  return (
    `{"address":${JSON.stringify(address)},"score":1,"capabilities":${JSON.stringify(capabilities)},` +
    `${runners.length > 0 ? `"runners":[${list}],` : ''}"last_seen":${JSON.stringify(lastSeen)}}`
  );
}
