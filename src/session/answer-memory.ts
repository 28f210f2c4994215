import type { NonceDemand, NonceOutcome } from './nonce-demand.ts';

/** The owner of an answer, whose share of the memory it takes. */
export type AnswerHolder = {
  /** '' for none */
  readonly tenant: string;
  readonly principal: string;
};

/** What a request asks to use up. */
export type UseRequest = {
  /** a state or an idempotency key, 32 bytes as hex; undefined where the request can't be told from others */
  readonly use: string | undefined;
  /** 32 bytes as hex */
  readonly requestHash: string;
  /** undefined where the request is known to take no tickets, or where nonces are not remembered */
  readonly nonces: NonceDemand | undefined;
  readonly holder: AnswerHolder;
};

/** A request that nobody has answered yet. */
export type NewClaim = {
  readonly kind: 'new';
  /** whether the same state was used before, by another request or by one whose answer is already forgotten */
  readonly isFork: boolean;
  /** the nonces that the request gets; undefined when it asked for none */
  readonly nonces: NonceOutcome | undefined;
  /**
   * Keeps the answer for repeats of the request, and resolves with the answer to send: this one, unless another instance has
   * remembered one meanwhile, so that all callers get the same. Throws `ANSWERS_UNAVAILABLE`; then no answer may be sent.
   */
  remember(answer: string): Promise<string>;
  /**
   * Withdraws the claim of a failed request: the state is unused again, and so are its nonces, unless the key was asked to sign
   * their tickets (`used`). Does nothing after `remember`, and never throws.
   */
  forget(nonces: 'unused' | 'used'): Promise<void>;
};

/** The outcome of a claim: the request is new, or was answered before. */
export type Claim = NewClaim | { readonly kind: 'answered'; readonly answer: string };

/**
 * Remembers which states were used and what was answered, so that a repeated request gets the same answer without a call of the
 * key, for as long as it is remembered. It also remembers which nonces were handed out, so that no ticket is signed twice.
 */
export type AnswerMemory = {
  /**
   * Claims `use` for the request `requestHash`, and takes the nonces that it asks for. While the same request has another claim
   * on the same use, it waits for the outcome; when that claim fails, the request that waited longest takes its place. Each new
   * claim must end in `remember` or `forget`. Throws `ANSWERS_UNAVAILABLE`, and the reason that `signal` was aborted with:
   * `REQUEST_ABORTED` or `PROVIDER_TIMEOUT`.
   */
  claim(request: UseRequest, signal: AbortSignal): Promise<Claim>;
  checkHealth(): Promise<void>;
};
