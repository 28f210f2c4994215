import { SignerRefusalError, SignerUnreachableError } from './errors.ts';
import { bodyText } from './fetch.ts';
import { asksToComeBack, type SignerTransport, toRefusal } from './signer-transport.ts';
import { toBase64 } from './wire/base64.ts';
import { asObject, tryParseJson } from './wire/json.ts';

/** What a session is billed by: pixels of 720p video, seconds, or requests. */
export type PaymentType = 'lv2v' | 'live' | 'fixed';

/** The session's books as the signer seals them. Hand them back unchanged with the next request. */
export type SignerState = Readonly<Record<string, string>>;

/** A message of the protocol: its bytes, or the same in base64. */
export type Encoded = Uint8Array | string;

/** What a payment is for. */
export type LivePaymentRequest = {
  /** The orchestrator's `net.OrchestratorInfo`. */
  readonly orchestrator: Encoded;
  /** The id under which the orchestrator keeps the balance; the signer chooses one where it is left out. */
  readonly manifestId?: string | undefined;
  readonly app?: string | undefined;
  /** `net.Capabilities`. */
  readonly capabilities?: Encoded | undefined;
  /** What the last answer of the session brought; none for a session's first payment. */
  readonly state?: SignerState | undefined;
  /** Sent as `Idempotency-Key`: what stands for the state in a session's first payment. */
  readonly idempotencyKey?: string | undefined;
  readonly signal?: AbortSignal | undefined;
} & (
  | {
      readonly type: PaymentType;
      /** The most that may be paid for a unit (a pixel, a second or a request), in wei; a fraction as decimal text. */
      readonly maxPrice?: bigint | string | undefined;
    }
  | {
      readonly type?: undefined;
      readonly inPixels: bigint;
    }
);

/** What the signer may answer, but for refusals. */
export type LivePaymentResult =
  | {
      readonly kind: 'payment';
      /** For the header `Livepeer-Payment`. */
      readonly payment: string;
      /** For the header `Livepeer-Segment`. */
      readonly segCreds: string;
      readonly state: SignerState;
    }
  /** 480: ask again with fresh terms of the orchestrator, which is at this URL if the signer names one. */
  | { readonly kind: 'refresh-needed'; readonly orchestratorUrl: string | undefined }
  /** 482: the credit covers what is due. The state stays as it was. */
  | { readonly kind: 'nothing-due' }
  /** 408, 429 or 503: send the same request again, after `refusal.retryAfterMs` if the signer says so. */
  | { readonly kind: 'come-back'; readonly refusal: SignerRefusalError };

const refreshSession = 480;
const noTickets = 482;

const unitOf: Readonly<Record<PaymentType, string>> = {
  lv2v: '720p-pixel-seconds',
  live: 'seconds',
  fixed: 'fixed',
};

/** Makes one request for one payment, without repeating it; throws as the signer's transport does. */
export async function generateLivePayment(
  transport: SignerTransport,
  request: LivePaymentRequest,
): Promise<LivePaymentResult> {
  const { idempotencyKey, signal } = request;
  const answer = await transport.send({
    method: 'POST',
    path: 'generate-live-payment',
    body: writeBody(request),
    ...(idempotencyKey !== undefined && { headers: { 'Idempotency-Key': idempotencyKey } }),
    signal,
  });
  switch (answer.status) {
    case 200:
      return readPayment(bodyText(answer));
    case refreshSession: {
      const orchestratorUrl = answer.headers.get('Livepeer-Orchestrator-Url') ?? '';
      return { kind: 'refresh-needed', orchestratorUrl: orchestratorUrl || undefined };
    }
    case noTickets:
      return { kind: 'nothing-due' };
    default: {
      const refusal = toRefusal(answer);
      if (asksToComeBack(answer.status)) return { kind: 'come-back', refusal };
      throw refusal;
    }
  }
}

function writeBody(request: LivePaymentRequest): string {
  const { orchestrator, manifestId, app, capabilities, state } = request;
  const members = [
    member('orchestrator', encode(orchestrator)),
    member('ManifestID', manifestId),
    member('app', app),
    member('capabilities', capabilities && encode(capabilities)),
    member('state', state),
    ...(request.type === undefined
      ? [`"inPixels":${request.inPixels}`]
      : [member('type', request.type), writeMaxPrice(request.type, request.maxPrice)]),
  ];
  return `{${members.filter((each) => each !== undefined).join()}}`;
}

function member(name: string, value: unknown): string | undefined {
  return value === undefined ? undefined : `${JSON.stringify(name)}:${JSON.stringify(value)}`;
}

function encode(message: Encoded): string {
  return typeof message === 'string' ? message : toBase64(message);
}

/** The price as a JSON number, digit by digit. Throws TypeError for text that is no decimal. */
function writeMaxPrice(
  type: PaymentType,
  maxPrice: bigint | string | undefined,
): string | undefined {
  if (maxPrice === undefined) return undefined;
  const price = `${maxPrice}`;
  if (!/^(?:0|[1-9]\d*)(?:\.\d+)?$/.test(price)) {
    throw new TypeError(`maxPrice is ${price}; it must be a decimal number of wei`);
  }
  return `"maxPrice":{"price":${price},"currency":"wei","unit":"${unitOf[type]}"}`;
}

function readPayment(text: string): LivePaymentResult {
  const answer = asObject(tryParseJson(text));
  const payment = answer?.['payment'];
  const segCreds = answer?.['segCreds'];
  const state = asObject(answer?.['state']);
  if (typeof payment !== 'string' || typeof segCreds !== 'string' || !isState(state)) {
    throw new SignerUnreachableError('a payment without payment, segCreds or state');
  }
  return { kind: 'payment', payment, segCreds, state };
}

function isState(value: Readonly<Record<string, unknown>> | undefined): value is SignerState {
  return value !== undefined && Object.values(value).every((each) => typeof each === 'string');
}
