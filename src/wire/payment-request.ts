import { RequestError } from '../errors.ts';
import type { MaxPrice } from '../pm/price-ceilings.ts';
import {
  FieldTypeError,
  type Mutable,
  createStructReader,
  maxInt64,
  minInt64,
  readBytes,
  readInteger,
  readObject,
  readString,
} from './go-struct.ts';
import { JsonSyntaxError, type JsonValue, parseFirstJsonValue } from './json.ts';
import { readMaxPrice } from './max-price.ts';

/** The body of `POST /generate-live-payment`. Absent fields are empty, as in Go's zero values. */
export type PaymentRequest = {
  /** the sealed books of the previous answer; undefined when neither part was given */
  readonly state: SealedState | undefined;
  /** protobuf `net.OrchestratorInfo` */
  readonly orchestrator: Uint8Array;
  readonly manifestId: string;
  readonly app: string;
  readonly inPixels: bigint;
  readonly type: string;
  readonly maxPrice: MaxPrice | undefined;
  /** protobuf `net.Capabilities` */
  readonly capabilities: Uint8Array;
  readonly usageLabels: UsageLabels;
};

/**
 * What clients add so that usage can be joined with their own jobs, under the body's names. It decides nothing: what is no
 * text is left out, and what is longer than {@link longestUsageLabel} is cut.
 */
export type UsageLabels = Readonly<Partial<Record<(typeof usageLabelNames)[number], string>>>;

const usageLabelNames = [
  'gatewayRequestId',
  'attributionSource',
  'capability',
  'model_id',
] as const;

/** characters */
const longestUsageLabel = 256;

/** Session state as it travels: the bytes, and what seals them. */
export type SealedState = { readonly state: Uint8Array; readonly sig: Uint8Array };

const none = new Uint8Array();

/**
 * Reads the body as go-livepeer does (`RemotePaymentRequest`). Throws `BODY_MALFORMED` for what is not JSON or
 * does not fit a field's type; missing fields are for later checks to refuse.
 */
export function decodePaymentRequest(body: Uint8Array): PaymentRequest {
  const request: Mutable<PaymentRequest> = {
    state: undefined,
    orchestrator: none,
    manifestId: '',
    app: '',
    inPixels: 0n,
    type: '',
    maxPrice: undefined,
    capabilities: none,
    usageLabels: {},
  };
  const sealed: Mutable<SealedState> = { state: none, sig: none };
  try {
    readMembers({ request, sealed }, readObject(parseFirstJsonValue(body), 'request'));
  } catch (error) {
    if (error instanceof JsonSyntaxError || error instanceof FieldTypeError) {
      throw new RequestError('BODY_MALFORMED', error.message, { cause: error });
    }
    throw error;
  }
  if (sealed.state.length > 0 || sealed.sig.length > 0) request.state = sealed;
  return request;
}

const readSealedState = createStructReader<Mutable<SealedState>>({
  State: {
    read: (sealed, value) => (sealed.state = readBytes(value, 'state.State')),
    clear: (sealed) => (sealed.state = none),
  },
  Sig: {
    read: (sealed, value) => (sealed.sig = readBytes(value, 'state.Sig')),
    clear: (sealed) => (sealed.sig = none),
  },
});

const readMembers = createStructReader<{
  readonly request: Mutable<PaymentRequest>;
  readonly sealed: Mutable<SealedState>;
}>({
  state: ({ sealed }, value, field) => {
    readSealedState(sealed, readObject(value, field));
  },
  orchestrator: {
    read: ({ request }, value, field) => (request.orchestrator = readBytes(value, field)),
    clear: ({ request }) => (request.orchestrator = none),
  },
  ManifestID: ({ request }, value, field) => (request.manifestId = readString(value, field)),
  app: ({ request }, value, field) => (request.app = readString(value, field)),
  inPixels: ({ request }, value, field) =>
    (request.inPixels = readInteger(value, field, minInt64, maxInt64)),
  type: ({ request }, value, field) => (request.type = readString(value, field)),
  maxPrice: {
    read: ({ request }, value, field) =>
      (request.maxPrice = readMaxPrice(value, field, request.maxPrice)),
    clear: ({ request }) => (request.maxPrice = undefined),
  },
  capabilities: {
    read: ({ request }, value, field) => (request.capabilities = readBytes(value, field)),
    clear: ({ request }) => (request.capabilities = none),
  },
  ...Object.fromEntries(usageLabelNames.map((name) => [name, readUsageLabel])),
});

function readUsageLabel(
  { request }: { readonly request: Mutable<PaymentRequest> },
  value: JsonValue,
  name: string,
): void {
  if (value.kind !== 'string' || value.value === '') return;
  request.usageLabels = { ...request.usageLabels, [name]: value.value.slice(0, longestUsageLabel) };
}
