/** What became of a request that wants to use a state, or an idempotency key. */
export type Claim =
  | {
      readonly kind: 'new';
      /** the same state was used before, by another request or by one whose answer is forgotten by now */
      readonly isFork: boolean;
      /**
       * Keeps the answer for whoever repeats the request, and resolves with the answer to send: this one, unless another
       * instance has remembered one meanwhile, so that all callers get the same. Throws `ANSWERS_UNAVAILABLE`; then no answer
       * may be sent.
       */
      remember(answer: string): Promise<string>;
      /** The request came to nothing: the state is unused again. Does nothing after `remember`, and never throws. */
      forget(): Promise<void>;
    }
  | { readonly kind: 'answered'; readonly answer: string };

/**
 * Remembers which states were used, and what was answered: the same request gets the same answer without a key call, for as
 * long as it is remembered.
 */
export type AnswerMemory = {
  /**
   * Claims `use` (a state, or an idempotency key; 32 bytes as hex) for the request `requestHash` (32 bytes as hex). While
   * another claim of both is under way it waits for the outcome; when that comes to nothing, the one that waited longest takes
   * its place. Each new claim must end in `remember` or `forget`. Throws `ANSWERS_UNAVAILABLE`, and what ended `signal`:
   * `REQUEST_ABORTED`, `PROVIDER_TIMEOUT`.
   */
  claim(use: string, requestHash: string, signal: AbortSignal): Promise<Claim>;
  checkHealth(): Promise<void>;
};
