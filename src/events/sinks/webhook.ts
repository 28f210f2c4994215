import { type OutgoingHeaders, revealHeaders } from '../../outgoing/secret-headers.ts';
import { DeliveryError, type EventSink, type OutgoingEvent } from '../sink.ts';

export type WebhookSinkOptions = {
  readonly url: string;
  /** sent with every event */
  readonly headers: OutgoingHeaders;
  readonly timeoutMs: number;
};

/**
 * Posts each event in a request of its own, with its id as `Idempotency-Key`: receivers must recognise a repeated event by its
 * id. Any 2xx acknowledges the event; redirects are not followed, since the headers hold secrets.
 */
export function createWebhookSink({ url, headers, timeoutMs }: WebhookSinkOptions): EventSink {
  async function post({ id, value }: OutgoingEvent, signal: AbortSignal): Promise<void> {
    let response: Response;
    try {
      response = await fetch(url, {
        method: 'POST',
        headers: {
          'Content-Type': 'application/json',
          ...revealHeaders(headers),
          'Idempotency-Key': id,
        },
        body: value,
        redirect: 'manual',
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      });
    } catch (cause) {
      // undici's messages may quote a header
      throw new DeliveryError(`the webhook could not be asked (${causeOf(cause)})`);
    }
    await response.body?.cancel();
    if (!response.ok) {
      throw new DeliveryError(`the webhook answered with HTTP status ${response.status}`);
    }
  }

  return {
    name: 'webhook',
    async send(events, signal) {
      for (const event of events) await post(event, signal);
    },
    close: () => Promise.resolve(),
  };
}

/** The system's code, or the kind of error. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const cause = error.cause instanceof Error ? error.cause : error;
  return (cause as NodeJS.ErrnoException).code?.toString() ?? cause.name;
}
