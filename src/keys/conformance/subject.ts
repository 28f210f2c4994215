import type { KeyProvider } from '../provider.ts';

/** What can go wrong between the plugin and its device. */
export type DeviceFault =
  /** replies with a valid signature that another key made */
  | 'other-key'
  /** replies with the high one of the two possible values of s */
  | 'high-s'
  /** replies with bytes that are no signature */
  | 'garbage'
  /** replies with a signature whose last byte is missing */
  | 'truncated'
  /** does not reply for a second or more */
  | 'hang'
  /** refuses because it is asked too often */
  | 'throttling'
  /** cuts the connection or the session before it replies */
  | 'lost-connection';

/**
 * Makes the device misbehave, until the function that it gives is called. `digest`, 32 bytes, is what the key will be
 * asked to sign meanwhile.
 */
export type StartFault = (digest: Uint8Array) => Promise<() => Promise<void>>;

/** A key for tests, and how to open it. Every case opens it anew; cases may not run at the same time. */
export type ConformanceSubject = {
  open(): Promise<KeyProvider>;
  /** Texts that may appear in no error, attribute or name: PIN, password, token, private key in hex. */
  readonly secrets: readonly string[];
  /** The faults that the test set-up can cause at the device. The others are caused at the port, in front of the plugin. */
  readonly faults?: Readonly<Partial<Record<DeviceFault, StartFault>>>;
};

/** One thing that every key provider has to do; for any test framework. */
export type ConformanceCase = {
  readonly name: string;
  /** Whether it may run on a key that is in service: it signs nothing but the self-test, and the provider stays open. */
  readonly safe: boolean;
  /** Where the case causes its fault; undefined when it causes none. */
  readonly faultAt: 'device' | 'port' | undefined;
  /** Throws {@link ConformanceError} when the provider does not conform. */
  readonly run: () => Promise<void>;
};

/** A key provider does not do what the port asks of it; the message says what was expected and what was found. */
export class ConformanceError extends Error {
  constructor(expected: string, found: string) {
    super(`expected ${expected}; found ${found}`);
    this.name = 'ConformanceError';
  }
}
