import { RequestError } from '../errors.ts';
import type { MaxPrice } from '../pm/price-ceilings.ts';
import {
  type DescribedField,
  FieldTypeError,
  type Mutable,
  bytesField,
  createStructReader,
  describeStruct,
  int64Field,
  named,
  readObject,
  stringField,
} from './go-struct.ts';
import { JsonSyntaxError, type JsonValue, parseFirstJsonValue } from './json.ts';
import { maxPriceSchema, readMaxPrice } from './max-price.ts';

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
 * Labels that clients add so that usage can be joined with their own jobs, under the names of the body. They decide nothing: one
 * that is not text is left out, and one longer than {@link longestUsageLabel} is cut.
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
 * Reads the body as go-livepeer does (`RemotePaymentRequest`). Throws `BODY_MALFORMED` for what is not JSON or does not fit a
 * field's type; missing fields are refused by later checks.
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

const sealedStateFields: Readonly<Record<string, DescribedField<Mutable<SealedState>>>> = {
  State: named(
    'state.State',
    bytesField({ description: "the session's books" }, (sealed, bytes) => (sealed.state = bytes)),
  ),
  Sig: named(
    'state.Sig',
    bytesField({ description: 'what seals them' }, (sealed, bytes) => (sealed.sig = bytes)),
  ),
};

const readSealedState = createStructReader(sealedStateFields);

type Reading = {
  readonly request: Mutable<PaymentRequest>;
  readonly sealed: Mutable<SealedState>;
};

const fields: Readonly<Record<string, DescribedField<Reading>>> = {
  state: {
    schema: describeStruct(sealedStateFields, {
      description: "the last answer's `state`, unchanged; without it, or empty, a session begins",
    }),
    read: ({ sealed }, value, field) => readSealedState(sealed, readObject(value, field)),
  },
  orchestrator: bytesField(
    {
      description:
        'protobuf `net.OrchestratorInfo`, as the orchestrator gave it; every payment needs it',
    },
    ({ request }, bytes) => (request.orchestrator = bytes),
  ),
  ManifestID: stringField(
    { description: "the orchestrator's id of the session; needed from its second payment on" },
    ({ request }, text) => (request.manifestId = text),
  ),
  app: stringField(
    { description: "the session's app; the same with every payment" },
    ({ request }, text) => (request.app = text),
  ),
  inPixels: int64Field(
    { description: 'what is billed where there is no `type`' },
    ({ request }, integer) => (request.inPixels = integer),
  ),
  type: stringField(
    {
      description:
        'what is billed: `lv2v` for pixels of live video, `live` for seconds, `fixed` for a request, empty for `inPixels`',
      examples: ['live'],
    },
    ({ request }, text) => (request.type = text),
  ),
  maxPrice: {
    schema: { ...maxPriceSchema, description: 'the most that a billing unit may cost' },
    read: ({ request }, value, field) =>
      (request.maxPrice = readMaxPrice(value, field, request.maxPrice)),
    clear: ({ request }) => (request.maxPrice = undefined),
  },
  capabilities: bytesField(
    { description: 'protobuf `net.Capabilities` that the job asks for' },
    ({ request }, bytes) => (request.capabilities = bytes),
  ),
  ...Object.fromEntries(
    usageLabelNames.map((name) => [
      name,
      {
        schema: { type: 'string', description: 'for the log; decides nothing' },
        read: readUsageLabel,
      },
    ]),
  ),
};

const readMembers = createStructReader(fields);

/** The JSON Schema of the body, as clients should write it; more than that is accepted, since it is read as Go reads it. */
export const paymentRequestSchema = describeStruct(fields, { required: ['orchestrator'] });

function readUsageLabel({ request }: Reading, value: JsonValue, name: string): void {
  if (value.kind !== 'string' || value.value === '') return;
  const label = value.value.slice(0, longestUsageLabel).toWellFormed();
  request.usageLabels = { ...request.usageLabels, [name]: label };
}
