/** An event as it goes out. */
export type OutgoingEvent = {
  /** the envelope's id, a UUID */
  readonly id: string;
  /** one JSON object, the same bytes at each try */
  readonly value: string;
};

/** Where events are delivered to. */
export type EventSink = {
  readonly name: 'kafka' | 'webhook' | 'file';
  /**
   * Delivers all of them in their order, and resolves once the other side has them for good. Rejects when it can't be known
   * that it has all; then all are sent again.
   */
  send(events: readonly OutgoingEvent[], signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
};

/** Why events could not be delivered; the message is safe for the log. */
export class DeliveryError extends Error {}
