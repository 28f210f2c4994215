import { Backoff } from './backoff.ts';
import type { SignerClient } from './create-signer-client.ts';
import {
  OrchestratorRefusalError,
  OrchestratorUnreachableError,
  SignerRefusalError,
  SignerUnreachableError,
} from './errors.ts';
import type { Fetch } from './fetch.ts';
import type {
  Encoded,
  LivePaymentRequest,
  LivePaymentResult,
  PaymentType,
} from './generate-live-payment.ts';
import { decodeOrchestratorInfo } from './orchestrator-info.ts';
import type { PaymentChallenge } from './payment-challenge.ts';
import { type PaymentLoop, type PaymentLoopOptions, startPaymentLoop } from './payment-loop.ts';
import type { PaymentOutcome } from './payment-outcome.ts';
import { refreshPayment } from './refresh-payment.ts';
import { type Payment, sendPayment, type SentPayment } from './send-payment.ts';
import type { SessionSnapshot } from './session-snapshot.ts';
import { toBase64 } from './wire/base64.ts';
import { toHex } from './wire/hex.ts';

/** The terms to pay by: an `OrchestratorInfo`, or a runner's whole challenge. */
export type Terms = Encoded | PaymentChallenge;

/** What fresh terms are needed for. */
export type RefreshContext = {
  readonly type: PaymentType;
  /** Where the orchestrator is. */
  readonly orchestratorUrl: string;
  readonly manifestId: string;
  /** Nothing was paid yet: the terms may be for another manifest id, which the session then takes. */
  readonly isFirst: boolean;
  readonly client: SignerClient;
  readonly signal: AbortSignal | undefined;
};

/** How a payment goes to the orchestrator. */
export type SendContext = {
  /** The orchestrator's URL for payments. */
  readonly url: string;
  /** It may have been sent before: the answer got lost, or the process ended. */
  readonly isRepeat: boolean;
  readonly signal: AbortSignal | undefined;
};

/** Takes a payment to the orchestrator; what it returns may bring the terms for the next one. */
export type Send = (payment: Payment, context: SendContext) => Promise<SentPayment | undefined>;

/** What a session needs beside what its snapshot holds. */
export type PaymentSessionPorts = {
  readonly client: SignerClient;
  /** Fetches fresh terms when the signer asks for them; `POST /refresh-payment` of the orchestrator if left out. */
  readonly refresh?: ((context: RefreshContext) => Promise<Terms>) | undefined;
  /** Takes a payment to the orchestrator; `POST` to its URL for payments if left out. */
  readonly send?: Send | undefined;
  /** For requests to the orchestrator, instead of the global `fetch`. */
  readonly fetch?: Fetch | undefined;
  /**
   * Awaited with a snapshot before a request to the signer and after its answer. What is stored here lets another process go on
   * wherever this one dies, without a ticket lost or paid twice.
   */
  readonly save?: ((snapshot: SessionSnapshot) => unknown) | undefined;
};

/** How one payment is made. */
export type PayOptions = {
  /** Instead of the session's own way to the orchestrator, for this payment. */
  readonly send?: Send;
  readonly signal?: AbortSignal;
};

/** Payments for one piece of work at one orchestrator. */
export type PaymentSession = {
  readonly type: PaymentType;
  /** The id under which the orchestrator keeps the balance. */
  readonly manifestId: string;
  /**
   * Pays what is due: asks the signer, and takes its payment to the orchestrator. One call at a time; the next ones wait.
   * Fetches fresh terms at most three times in a row, and repeats what was not answered for as long as the client waits.
   *
   * Throws `SignerRefusalError` and `OrchestratorRefusalError`, which end the session but for 408, 429 and 503;
   * `SignerUnreachableError` and `OrchestratorUnreachableError`, after which the next call goes on where this one stopped; what
   * `refresh`, `send` and `save` throw; and the reason of an aborted `signal`.
   */
  pay(options?: PayOptions): Promise<PaymentOutcome>;
  /** Pays every `everyMs` milliseconds until it is stopped. */
  start(options: PaymentLoopOptions): PaymentLoop;
  snapshot(): SessionSnapshot;
};

const maxRefreshes = 3;

/** A session that goes on from `snapshot`, which is checked. */
export function openPaymentSession(
  ports: PaymentSessionPorts,
  snapshot: SessionSnapshot,
): PaymentSession {
  const books = new Books(ports, snapshot);
  const session: PaymentSession = {
    type: snapshot.type,
    get manifestId() {
      return books.snapshot.manifestId;
    },
    pay: (options = {}) => books.pay(options),
    start: (options) => startPaymentLoop((each) => books.pay(each), options),
    snapshot: () => books.snapshot,
  };
  return session;
}

/** The part of a snapshot that the terms decide. */
export function readTerms(
  terms: Terms,
): Pick<SessionSnapshot, 'orchestrator' | 'manifestId' | 'paymentUrl'> {
  if (typeof terms !== 'string' && !(terms instanceof Uint8Array)) {
    const { paymentParams, manifestId, paymentUrl } = terms;
    return { orchestrator: paymentParams, manifestId, paymentUrl };
  }
  const { sessionId, transcoder } = decodeOrchestratorInfo(terms);
  return {
    orchestrator: typeof terms === 'string' ? terms : toBase64(terms),
    manifestId: sessionId,
    paymentUrl: `${transcoder.replace(/\/$/, '')}/payment`,
  };
}

class Books {
  snapshot: SessionSnapshot;
  readonly #ports: PaymentSessionPorts;
  /** What was taken from a snapshot may have been sent by the process before. */
  #isRepeat: boolean;
  #deliveries = 0;
  #lastWasSeenBefore = false;
  #ended: SignerRefusalError | OrchestratorRefusalError | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(ports: PaymentSessionPorts, snapshot: SessionSnapshot) {
    this.#ports = ports;
    this.snapshot = snapshot;
    this.#isRepeat = snapshot.undelivered !== undefined;
  }

  pay(options: PayOptions): Promise<PaymentOutcome> {
    const { signal } = options;
    const outcome = this.#turn.then(() => {
      signal?.throwIfAborted();
      return this.#pay(options);
    });
    this.#turn = outcome.catch(() => undefined);
    return signal === undefined ? outcome : Promise.race([outcome, abortOf(signal, outcome)]);
  }

  async #pay({ send, signal }: PayOptions): Promise<PaymentOutcome> {
    if (this.#ended !== undefined) throw this.#ended;
    try {
      const refreshes = this.snapshot.undelivered === undefined ? await this.#askSigner(signal) : 0;
      const { undelivered } = this.snapshot;
      if (undelivered === undefined) return { kind: 'nothing-due', refreshes };
      const payment = toPayment(undelivered);
      await this.#deliver(payment, send ?? this.#ports.send ?? this.#post, signal);
      return { kind: 'paid', payment, refreshes };
    } catch (error) {
      if (endsSession(error)) this.#ended = error;
      throw error;
    }
  }

  /** Leaves the payment in the snapshot, if one is due. Returns how often the terms were refreshed. */
  async #askSigner(signal: AbortSignal | undefined): Promise<number> {
    const backoff = new Backoff(this.#ports.client.backoff);
    for (let refreshes = 0; ;) {
      const request = await this.#nextRequest();
      const result = await this.#send(request, signal);
      if (result instanceof SignerUnreachableError) {
        if (!(await backoff.pause(undefined, signal))) throw result;
        continue;
      }
      switch (result.kind) {
        case 'payment': {
          const { payment, segCreds, state } = result;
          await this.#change({ state, unanswered: undefined, undelivered: { payment, segCreds } });
          return refreshes;
        }
        case 'nothing-due':
          await this.#change({ unanswered: undefined });
          return refreshes;
        case 'come-back':
          if (!(await backoff.pause(result.refusal.retryAfterMs, signal))) throw result.refusal;
          continue;
        case 'refresh-needed':
          if (refreshes === maxRefreshes) {
            const message = `fresh terms were fetched ${maxRefreshes} times and are still not fresh`;
            throw new SignerRefusalError({ status: 480, message });
          }
          refreshes += 1;
          await this.#refresh(result.orchestratorUrl, signal);
      }
    }
  }

  /** An error only where the request must be repeated. */
  async #send(
    request: LivePaymentRequest,
    signal: AbortSignal | undefined,
  ): Promise<LivePaymentResult | SignerUnreachableError> {
    try {
      return await this.#ports.client.generateLivePayment({ ...request, signal });
    } catch (error) {
      if (error instanceof SignerUnreachableError) return error;
      if (error instanceof SignerRefusalError) await this.#change({ unanswered: undefined });
      throw error;
    }
  }

  /** The request that is not answered yet, else a new one, which is saved before it is sent. */
  async #nextRequest(): Promise<LivePaymentRequest> {
    const { type, app, capabilities, maxPrice, orchestrator, manifestId, state } = this.snapshot;
    const isNew = this.snapshot.unanswered === undefined;
    const unanswered = this.snapshot.unanswered ?? {
      orchestrator,
      ...(state === undefined && { idempotencyKey: newIdempotencyKey() }),
    };
    if (isNew) await this.#change({ unanswered });
    return {
      type,
      app,
      capabilities,
      maxPrice,
      manifestId: manifestId === '' ? undefined : manifestId,
      state,
      ...unanswered,
    };
  }

  async #refresh(namedUrl: string | undefined, signal: AbortSignal | undefined): Promise<void> {
    const { client, fetch } = this.#ports;
    const { type, manifestId, paymentUrl, orchestrator, state } = this.snapshot;
    const isFirst = state === undefined;
    const orchestratorUrl =
      namedUrl ?? (decodeOrchestratorInfo(orchestrator).transcoder || new URL(paymentUrl).origin);
    const refresh =
      this.#ports.refresh ??
      (async () => {
        if (isFirst) {
          const message = 'the terms are too old for a first payment; give the session a refresh';
          throw new SignerRefusalError({ status: 480, message });
        }
        const { address: sender } = await client.signOrchestratorInfo({
          ...(signal && { signal }),
        });
        return refreshPayment({ url: orchestratorUrl, sender, manifestId, fetch, signal });
      });
    const context = { type, orchestratorUrl, manifestId, isFirst, client, signal };
    const terms = readTerms(await refresh(context));
    // a running session keeps its id, and so does one whose id was chosen for it
    const isIdOfTerms = manifestId === readTerms(orchestrator).manifestId;
    await this.#change({
      unanswered: undefined,
      ...(isFirst && isIdOfTerms ? terms : { orchestrator: terms.orchestrator }),
    });
  }

  /** Takes the payment of the snapshot to the orchestrator. */
  async #deliver(payment: Payment, send: Send, signal: AbortSignal | undefined): Promise<void> {
    const backoff = new Backoff(this.#ports.client.backoff);
    for (;;) {
      const context = { url: this.snapshot.paymentUrl, isRepeat: this.#isRepeat, signal };
      try {
        const sent = await send(payment, context);
        await this.#delivered(sent?.orchestrator);
        return;
      } catch (error) {
        if (this.#isDeliveredBefore(error)) {
          await this.#delivered(undefined);
          this.#lastWasSeenBefore = true;
          return;
        }
        if (error instanceof OrchestratorRefusalError) await this.#delivered(undefined);
        else this.#isRepeat = true;
        const isForNow = error instanceof OrchestratorUnreachableError;
        if (!isForNow || !(await backoff.pause(undefined, signal))) throw error;
      }
    }
  }

  /**
   * Orchestrators take each ticket once, and one payment for work with a fixed price. Programs repeat a request by themselves
   * when a connection breaks that was used before; but twice in a row it is the signer that repeats its tickets.
   */
  #isDeliveredBefore(error: unknown): boolean {
    if (!(error instanceof OrchestratorRefusalError)) return false;
    if (error.status === 409 && this.snapshot.type === 'fixed') {
      return this.#isRepeat || this.#deliveries === 0;
    }
    const isSeen = error.status === 400 && error.message.includes('already seen');
    return isSeen && (this.#isRepeat || !this.#lastWasSeenBefore);
  }

  async #delivered(nextTerms: Uint8Array | undefined): Promise<void> {
    this.#isRepeat = false;
    this.#lastWasSeenBefore = false;
    this.#deliveries += 1;
    await this.#change({
      undelivered: undefined,
      ...(nextTerms && { orchestrator: toBase64(nextTerms) }),
    });
  }

  readonly #post: Send = (payment, { url, signal }) =>
    sendPayment({ url, payment, fetch: this.#ports.fetch, signal });

  async #change(changes: {
    [Name in keyof SessionSnapshot]?: SessionSnapshot[Name] | undefined;
  }): Promise<void> {
    const members = Object.entries({ ...this.snapshot, ...changes });
    this.snapshot = Object.fromEntries(
      members.filter(([, value]) => value !== undefined),
    ) as SessionSnapshot;
    await this.#ports.save?.(this.snapshot);
  }
}

function toPayment({ payment, segCreds }: { payment: string; segCreds: string }): Payment {
  return {
    payment,
    segCreds,
    headers: { 'Livepeer-Payment': payment, 'Livepeer-Segment': segCreds },
  };
}

/** 408, 429 and 503 are for now only. */
function endsSession(error: unknown): error is SignerRefusalError | OrchestratorRefusalError {
  if (error instanceof OrchestratorRefusalError) return true;
  return error instanceof SignerRefusalError && ![408, 429, 503].includes(error.status);
}

/** 128 random bits; `crypto.randomUUID` is missing on pages that came without TLS. */
function newIdempotencyKey(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(16))).slice(2);
}

/** Rejects when `signal` is aborted, as long as `until` is pending. */
async function abortOf(signal: AbortSignal, until: Promise<unknown>): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    const forget = (): void => signal.removeEventListener('abort', onAbort);
    until.then(forget, forget);
  });
}
