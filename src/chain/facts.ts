import type { SenderFacts } from '../pm/ticket-params-validation.ts';
import type { CreationRound } from '../pm/ticket.ts';
import { type CodeOf, SignerError } from '../errors.ts';

/** What the signer knows of the chain at one moment. */
export type ChainFacts = SenderFacts & {
  /** the last initialized round with its block hash: what tickets carry unless the orchestrator names its own */
  readonly lastInitializedRound: CreationRound;
};

/** Where chain facts come from. */
export type ChainFactsSource = {
  /** The newest facts; never waits for the network. Throws {@link ChainError} when there are none fresh enough. */
  currentFacts(): ChainFacts;
};

/** What is known of the chain does not allow an answer. */
export class ChainError extends SignerError<CodeOf<'chain'>> {}
