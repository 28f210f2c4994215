import { OutgoingError } from '../outgoing/outgoing-error.ts';
import type { PaymentType } from '../pm/billing.ts';
import { type Rational, compare, parseRational } from '../pm/rational.ts';
import {
  type Mutable,
  createStructReader,
  maxInt64,
  minInt64,
  readInteger,
  readNumberText,
  readObject,
  readString,
} from '../wire/go-struct.ts';
import { type JsonValue, parseJson } from '../wire/json.ts';
import type { Offer, Runner } from './offers.ts';
import { maxTextLength, parseHttpUrl, withoutSlash } from './service-url.ts';

/** The payment types that runners are paid by. */
type RunnerPayment = Exclude<PaymentType, ''>;

/** The ceiling of a payment type, wei per billing unit; undefined where there is none. */
export type TypeCeiling = (type: RunnerPayment) => Rational | undefined;

/** What a runner's document says of it, before it is judged. */
type RunnerFields = {
  readonly url: string;
  readonly app: string;
  readonly capacity: bigint;
  readonly capacityUsed: bigint;
  readonly capacityAvailable: bigint;
  readonly gpu: GpuFields | undefined;
  readonly version: string;
  readonly metadata: string;
  readonly mode: string;
  readonly price: PriceFields | undefined;
};

type GpuFields = { readonly id: string; readonly name: string; readonly vramMb: bigint };

/** `price` is a number's text, '' where it is missing. */
type PriceFields = { readonly price: string; readonly currency: string; readonly unit: string };

const maxRunners = 256;
const maxMetadataBytes = 1_024;
const maxPriceDigits = 78;

/**
 * Reads an orchestrator's `/discovery` document, `[{address, runners[]}]`: the runners that can be paid at no more than the ceiling of
 * their payment type. No member passes through but those that clients know. Throws `malformed` when it is no such document.
 */
export function readRunnerDocument(document: Uint8Array, ceilingOf: TypeCeiling): readonly Offer[] {
  const offers = decode(document).map(({ address, runners }) => ({
    address: withoutSlash(address),
    capabilities: [],
    runners: runners.flatMap((fields) => judge(fields, ceilingOf) ?? []),
  }));
  let left = maxRunners;
  return offers
    .filter(({ address, runners }) => runners.length > 0 && parseHttpUrl(address))
    .map((offer) => {
      const runners = offer.runners.slice(0, left);
      left -= runners.length;
      return { ...offer, runners };
    })
    .filter(({ runners }) => runners.length > 0);
}

type Entry = { readonly address: string; readonly runners: readonly RunnerFields[] };

function decode(document: Uint8Array): readonly Entry[] {
  try {
    return readArray(parseJson(document), 'the document').map((value) => {
      const entry: Mutable<Entry> = { address: '', runners: [] };
      readEntry(entry, readObject(value, 'entry'));
      return entry;
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unreadable';
    throw new OutgoingError('malformed', `no discovery document: ${reason}`, { cause });
  }
}

function readArray(value: JsonValue, what: string): readonly JsonValue[] {
  if (value.kind !== 'array') throw new Error(`${what} is no array`);
  return value.items;
}

const readEntry = createStructReader<Mutable<Entry>>({
  address: (entry, value, field) => (entry.address = readString(value, field)),
  runners(entry, value) {
    entry.runners = readArray(value, 'runners').map((item) => {
      const runner: Mutable<RunnerFields> = {
        url: '',
        app: '',
        capacity: 0n,
        capacityUsed: 0n,
        capacityAvailable: 0n,
        gpu: undefined,
        version: '',
        metadata: '',
        mode: '',
        price: undefined,
      };
      readRunner(runner, readObject(item, 'runner'));
      return runner;
    });
  },
});

const readCount = (value: JsonValue, field: string): bigint =>
  readInteger(value, field, minInt64, maxInt64);

const readRunner = createStructReader<Mutable<RunnerFields>>({
  url: (runner, value, field) => (runner.url = readString(value, field)),
  app: (runner, value, field) => (runner.app = readString(value, field)),
  capacity: (runner, value, field) => (runner.capacity = readCount(value, field)),
  capacity_used: (runner, value, field) => (runner.capacityUsed = readCount(value, field)),
  capacity_available: (runner, value, field) =>
    (runner.capacityAvailable = readCount(value, field)),
  version: (runner, value, field) => (runner.version = readString(value, field)),
  metadata: (runner, value, field) => (runner.metadata = readString(value, field)),
  mode: (runner, value, field) => (runner.mode = readString(value, field)),
  gpu(runner, value, field) {
    const gpu = { id: '', name: '', vramMb: 0n, ...runner.gpu };
    readGpu(gpu, readObject(value, field));
    runner.gpu = gpu;
  },
  price_info(runner, value, field) {
    const price = { price: '', currency: '', unit: '', ...runner.price };
    readPrice(price, readObject(value, field));
    runner.price = price;
  },
});

const readGpu = createStructReader<Mutable<GpuFields>>({
  id: (gpu, value, field) => (gpu.id = readString(value, field)),
  name: (gpu, value, field) => (gpu.name = readString(value, field)),
  vram_mb: (gpu, value, field) => (gpu.vramMb = readCount(value, field)),
});

const readPrice = createStructReader<Mutable<PriceFields>>({
  price: (info, value, field) => (info.price = readNumberText(value, field)),
  currency: (info, value, field) => (info.currency = readString(value, field)),
  unit: (info, value, field) => (info.unit = readString(value, field)),
});

/** The runner as it is listed; undefined when clients could not use it, or must not pay so much. */
function judge(fields: RunnerFields, ceilingOf: TypeCeiling): Runner | undefined {
  const { url, gpu, version, metadata, mode } = fields;
  const app = fields.app.trim();
  const texts = [url, app, version, metadata, mode, gpu?.id ?? '', gpu?.name ?? ''];
  const isReadable = texts.every(
    (text) => text.length <= maxTextLength && !text.includes('\ufffd'),
  );
  const price = readListedPrice(fields.price, ceilingOf);
  if (!parseHttpUrl(url) || app === '' || !isReadable || price === undefined) return undefined;
  if (Buffer.byteLength(metadata) > maxMetadataBytes) return undefined;
  const head = { url: quote(url), app: quote(app), capacity: fields.capacity.toString() };
  const use = {
    capacity_used: fields.capacityUsed.toString(),
    capacity_available: fields.capacityAvailable.toString(),
  };
  const tail = {
    gpu:
      gpu &&
      formatObject({ id: quote(gpu.id), name: quote(gpu.name), vram_mb: gpu.vramMb.toString() }),
    version: quoteUnlessEmpty(version),
    metadata: quoteUnlessEmpty(metadata),
    mode: quoteUnlessEmpty(mode),
    price_info: price,
  };
  return {
    url,
    app,
    gpu: gpu?.name.trim() ?? '',
    json: formatObject({ ...head, ...use, ...tail }),
    terms: formatObject({ ...head, ...tail }),
  };
}

const quote = (text: string): string => JSON.stringify(text);
const quoteUnlessEmpty = (text: string): string | undefined =>
  text === '' ? undefined : quote(text);

/** A JSON object of members that are JSON texts already: numbers stay what they are, whatever their size. */
function formatObject(members: Readonly<Record<string, string | undefined>>): string {
  const texts = Object.entries(members).flatMap(([key, text]) =>
    text === undefined ? [] : [`${quote(key)}:${text}`],
  );
  return `{${texts.join(',')}}`;
}

const typeOfUnit: Readonly<Partial<Record<string, RunnerPayment>>> = {
  seconds: 'live',
  '720p-pixel-seconds': 'lv2v',
  fixed: 'fixed',
};

/** The price as clients read it, JSON; undefined when it is none that this signer takes, or above the ceiling. */
function readListedPrice(
  info: PriceFields | undefined,
  ceilingOf: TypeCeiling,
): string | undefined {
  if (info?.currency.trim().toLowerCase() !== 'wei') return undefined;
  const unit = info.unit.trim().toLowerCase();
  const type = Object.hasOwn(typeOfUnit, unit) ? typeOfUnit[unit] : undefined;
  const price = parseRational(info.price);
  if (!type || !price || price.numerator <= 0n) return undefined;
  const maximum = ceilingOf(type);
  const text = formatPlain(price);
  if (text === undefined || (maximum && compare(price, maximum) > 0)) return undefined;
  return formatObject({ price: text, currency: quote('wei'), unit: quote(unit) });
}

/** Decimal text without an exponent; undefined when it is longer than any price. */
function formatPlain({ numerator, denominator }: Rational): string | undefined {
  let places = 0;
  let scaled = numerator;
  while (scaled % denominator !== 0n && places <= maxPriceDigits) {
    places += 1;
    scaled *= 10n;
  }
  const digits = (scaled / denominator).toString().padStart(places + 1, '0');
  if (digits.length > maxPriceDigits) return undefined;
  return places === 0 ? digits : `${digits.slice(0, -places)}.${digits.slice(-places)}`;
}
