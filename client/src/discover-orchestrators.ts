import { SignerUnreachableError } from './errors.ts';
import type { PaymentType } from './generate-live-payment.ts';
import type { SignerTransport } from './signer-transport.ts';
import { asObject, type JsonObject, quoteNumbers, tryParseJson } from './wire/json.ts';

/** What to look for; what is left out does not matter. */
export type DiscoveryFilter = {
  /** Apps that a runner may offer; any of them. */
  readonly app?: string | readonly string[];
  /** Names of GPUs that it may have; any of them. */
  readonly gpu?: string | readonly string[];
  /** Capabilities as `pipeline/model`; any of them. */
  readonly caps?: string | readonly string[];
  readonly signal?: AbortSignal;
};

/** A runner, which does work for an orchestrator. */
export type Runner = {
  /** Where its work is asked for. */
  readonly url: string;
  readonly app: string;
  /** `single-shot` or `persistent`, if it says so. */
  readonly mode: string | undefined;
  readonly capacity: number;
  readonly capacityAvailable: number;
  readonly gpu: { readonly name: string; readonly vramMb: number } | undefined;
  readonly version: string | undefined;
  readonly metadata: string | undefined;
  readonly price: RunnerPrice | undefined;
};

/** What a runner asks for its work. */
export type RunnerPrice = {
  /** Decimal text, as the orchestrator wrote it. */
  readonly price: string;
  readonly currency: string;
  readonly unit: string;
  /** The `type` of payments in this unit; undefined for a unit that the protocol does not have. */
  readonly type: PaymentType | undefined;
};

/** An orchestrator, and the runners that match the filter. */
export type DiscoveredOrchestrator = {
  /** URL of its service. */
  readonly url: string;
  readonly score: number;
  readonly capabilities: readonly string[];
  readonly runners: readonly Runner[];
};

const typeOfUnit: Readonly<Record<string, PaymentType>> = {
  '720p-pixel-seconds': 'lv2v',
  seconds: 'live',
  fixed: 'fixed',
};

/** Asks the signer for orchestrators and their runners; throws as its transport does. */
export async function discoverOrchestrators(
  transport: SignerTransport,
  { app = [], gpu = [], caps = [], signal }: DiscoveryFilter,
): Promise<readonly DiscoveredOrchestrator[]> {
  const query = new URLSearchParams();
  for (const [name, values] of Object.entries({ app, gpu, caps })) {
    for (const value of [values].flat()) query.append(name, value);
  }
  const text = await transport.sendUntilAnswered({
    method: 'GET',
    path: `discover-orchestrators${query.size > 0 ? '?' : ''}${query}`,
    signal,
  });
  const entries = tryParseJson(quoteNumbers(text));
  if (!Array.isArray(entries)) throw new SignerUnreachableError('discovery without a list');
  return entries.map(asObject).flatMap((entry) => readOrchestrator(entry) ?? []);
}

/** Reads an orchestrator; undefined for one that no work can be sent to. */
function readOrchestrator(entry: JsonObject | undefined): DiscoveredOrchestrator | undefined {
  const url = text(entry?.['address']);
  if (entry === undefined || url === undefined) return undefined;
  return {
    url,
    score: count(entry['score']),
    capabilities: list(entry['capabilities']).filter((each) => typeof each === 'string'),
    runners: list(entry['runners']).flatMap((each) => readRunner(asObject(each)) ?? []),
  };
}

function readRunner(runner: JsonObject | undefined): Runner | undefined {
  const url = text(runner?.['url']);
  const app = text(runner?.['app']);
  if (runner === undefined || url === undefined || app === undefined) return undefined;
  const gpu = asObject(runner['gpu']);
  return {
    url,
    app,
    mode: text(runner['mode']),
    capacity: count(runner['capacity']),
    capacityAvailable: count(runner['capacity_available']),
    gpu: gpu && { name: text(gpu['name']) ?? '', vramMb: count(gpu['vram_mb']) },
    version: text(runner['version']),
    metadata: text(runner['metadata']),
    price: readPrice(asObject(runner['price_info'])),
  };
}

function readPrice(info: JsonObject | undefined): RunnerPrice | undefined {
  const price = text(info?.['price']);
  if (info === undefined || price === undefined) return undefined;
  const unit = text(info['unit']) ?? '';
  const type = typeOfUnit[unit.trim().toLowerCase()];
  return { price, currency: text(info['currency']) ?? '', unit, type };
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

/** Reads a number that was quoted; 0 where there is none. */
function count(value: unknown): number {
  return Number(text(value) ?? 0);
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
