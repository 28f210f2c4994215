import type { Address } from '../pm/bytes.ts';
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

/** A source of chain facts as it is run and watched. */
export type ChainSource = ChainFactsSource & {
  /** where the deposit is */
  readonly chainId: number;
  readonly ticketBroker: Address;
  /** undefined where nothing is read from a chain */
  status(): ChainStatus | undefined;
  close(): void;
};

/** What an operator wants to know of the chain. */
export type ChainStatus = {
  /** whether payments can be made with these facts */
  readonly isFresh: boolean;
  /** since the facts were asked for */
  readonly ageMs: number;
  readonly facts: ChainFacts;
  /** whether they are below the configured thresholds */
  readonly isDepositLow: boolean;
  readonly isReserveLow: boolean;
  /** named by position in the configuration; `problem` is undefined while the node answers well */
  readonly nodes: readonly { readonly name: string; readonly problem: string | undefined }[];
};

/** What is known of the chain does not allow an answer. */
export class ChainError extends SignerError<CodeOf<'chain'>> {}
