import { InternalError } from '../errors.ts';
import { Grant } from '../keys/grant.ts';
import { utf8ToBytes } from '../pm/bytes.ts';
import { hashManifestId } from '../pm/segment-credentials.ts';
import type { AllowedPayment, KeyUse } from '../policy/decide-payment.ts';
import { keySealIntent } from '../session/seal.ts';
import { encodeExtendedState, encodeUpstreamState } from '../session/state-json.ts';
import type { SignedTicket } from '../wire/payment.ts';
import { traceStep } from '../trace-steps.ts';
import type { Sender } from './senders.ts';

/** `upstream` writes no more than go-livepeer's own fields into the session state. */
export type StateFields = 'extended' | 'upstream';

/** Everything in an answer that has to be signed. */
export type SignedPayment = {
  readonly tickets: readonly [SignedTicket, ...SignedTicket[]];
  /** 65 bytes */
  readonly segmentCredentials: Uint8Array;
  /** the books as JSON, and their seal */
  readonly state: Uint8Array;
  readonly seal: Uint8Array;
};

/** What a payment has asked the key to sign so far; `signPayment` counts it here. */
type KeyUseCount = { -readonly [Kind in keyof KeyUse]: KeyUse[Kind] };

export type PaymentContext = {
  readonly manifestId: string;
  /** the event of the payment; undefined where no events are delivered */
  readonly event: string | undefined;
  readonly keyUse: KeyUseCount;
};

/**
 * Signs everything concurrently; only a key's own seal over new credentials has to wait for these. The record of the tickets gets
 * `event` once everything else is there, so that no event is delivered for a payment that failed. Throws `ProviderError` and
 * `AUDIT_UNAVAILABLE`; then no part of it has left for good, and every call that was begun is counted in `keyUse`.
 */
export async function signPayment(
  { gate, instanceSeal }: Sender,
  stateFields: StateFields,
  payment: AllowedPayment,
  { manifestId, event, keyUse }: PaymentContext,
  signal: AbortSignal,
): Promise<SignedPayment> {
  const sealWithoutKey = instanceSeal?.current();
  const failed = new AbortController();
  // saves a tenth of a payment's time compared with AbortSignal.any
  const leave = (): void => failed.abort(signal.reason);
  if (signal.aborted) leave();
  signal.addEventListener('abort', leave, { once: true });
  const ticketOptions = { signal: failed.signal, onCall: () => (keyUse.ticketCalls += 1) };
  const otherOptions = { signal: failed.signal, onCall: () => (keyUse.otherCalls += 1) };
  const signOne = async (grant: Grant): Promise<Uint8Array> =>
    onlyOne(await gate.sign(grant, otherOptions));

  const carriesCredentials = !(payment.segmentCredentials instanceof Grant);

  async function signCredentials(): Promise<Uint8Array> {
    const { segmentCredentials } = payment;
    return segmentCredentials instanceof Grant ? signOne(segmentCredentials) : segmentCredentials;
  }

  async function encodeBooks(credentials: Promise<Uint8Array>): Promise<Uint8Array> {
    const { books } = payment;
    if (stateFields === 'upstream') return utf8ToBytes(encodeUpstreamState(books));
    if (carriesCredentials) return utf8ToBytes(encodeExtendedState(books));
    const manifestIdHash = hashManifestId(manifestId);
    const segmentCredentials = { manifestIdHash, signature: await credentials };
    return utf8ToBytes(encodeExtendedState({ ...books, segmentCredentials }));
  }

  async function sealBooks(credentials: Promise<Uint8Array>) {
    const state = await encodeBooks(credentials);
    const seal = await traceStep('seal', { by: sealWithoutKey ? 'instance' : 'key' }, async () =>
      sealWithoutKey
        ? sealWithoutKey(state)
        : await signOne(payment.sealBooks(keySealIntent(state))),
    );
    return { state, seal };
  }

  const credentials = signCredentials();
  const sealedBooks = sealBooks(credentials);
  const otherParts = Promise.all([credentials, sealedBooks]);
  // nobody waits for this where signing the tickets fails first
  otherParts.catch(() => undefined);
  const whole = { otherParts, event };
  const [ticketSignatures, segmentCredentials, sealed] = await Promise.all([
    gate.sign(payment.ticketBatch, { ...ticketOptions, whole }),
    credentials,
    sealedBooks,
  ])
    .catch((error: unknown) => {
      failed.abort(error);
      throw error;
    })
    .finally(() => signal.removeEventListener('abort', leave));
  const [first, ...others] = payment.tickets.flatMap((ticket, index): SignedTicket[] => {
    const signature = ticketSignatures[index];
    return signature ? [{ ticket, signature }] : [];
  });
  if (!first || others.length + 1 !== payment.tickets.length) throw tooFewSignatures();
  const tickets: [SignedTicket, ...SignedTicket[]] = [first, ...others];
  return { tickets, segmentCredentials, ...sealed };
}

function onlyOne([signature]: readonly Uint8Array[]): Uint8Array {
  if (!signature) throw tooFewSignatures();
  return signature;
}

function tooFewSignatures(): InternalError {
  return new InternalError('INTERNAL', 'the key gate returned fewer signatures than asked for');
}
