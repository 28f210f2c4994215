/** An event as it is sent. */
export type OutgoingEvent = {
  /** the envelope's id, a UUID */
  readonly id: string;
  /** one JSON object, with the same bytes at each attempt */
  readonly value: string;
};

/** A receiver of events. */
export type EventSink = {
  readonly name: 'kafka' | 'webhook' | 'file';
  /**
   * Delivers all events in their order, and resolves once the other side has them for good. Rejects when that can't be known;
   * then all of them are sent again.
   */
  send(events: readonly OutgoingEvent[], signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
};

/** Why events could not be delivered; the message is safe for the log. */
export class DeliveryError extends Error {}
