import type { NonceDemand, NonceOutcome } from './nonce-demand.ts';

/** Whose share of the room an answer takes. */
export type AnswerHolder = {
  /** '' for none */
  readonly tenant: string;
  readonly principal: string;
};

/** What a request wants to use. */
export type UseRequest = {
  /** a state, or an idempotency key, 32 bytes as hex; undefined where the request can't be told from another */
  readonly use: string | undefined;
  /** 32 bytes as hex */
  readonly requestHash: string;
  /** undefined where it is known that the request takes no tickets, or where nobody remembers nonces */
  readonly nonces: NonceDemand | undefined;
  readonly holder: AnswerHolder;
};

/** A request that nobody has answered yet. */
export type NewClaim = {
  readonly kind: 'new';
  /** the same state was used before, by another request or by one whose answer is forgotten by now */
  readonly isFork: boolean;
  /** the nonces that it gets; undefined when it asked for none */
  readonly nonces: NonceOutcome | undefined;
  /**
   * Keeps the answer for whoever repeats the request, and resolves with the answer to send: this one, unless another
   * instance has remembered one meanwhile, so that all callers get the same. Throws `ANSWERS_UNAVAILABLE`; then no answer
   * may be sent.
   */
  remember(answer: string): Promise<string>;
  /**
   * The request came to nothing: the state is unused again, and so are the nonces where the key was not asked for their
   * tickets. Does nothing after `remember`, and never throws.
   */
  forget(nonces: 'unused' | 'used'): Promise<void>;
};

/** What became of a request that wants to use a state, or an idempotency key. */
export type Claim = NewClaim | { readonly kind: 'answered'; readonly answer: string };

/**
 * Remembers which states were used, and what was answered: the same request gets the same answer without a key call, for as
 * long as it is remembered. And which nonces were handed out, so that no ticket is signed twice.
 */
export type AnswerMemory = {
  /**
   * Claims `use` for the request `requestHash`, and takes the nonces that it asks for. While another claim of both is under
   * way it waits for the outcome; when that comes to nothing, the one that waited longest takes its place. Each new claim must
   * end in `remember` or `forget`. Throws `ANSWERS_UNAVAILABLE`, and what ended `signal`: `REQUEST_ABORTED`,
   * `PROVIDER_TIMEOUT`.
   */
  claim(request: UseRequest, signal: AbortSignal): Promise<Claim>;
  checkHealth(): Promise<void>;
};
