import type { Address } from '../pm/bytes.ts';
import type { Rational } from '../pm/rational.ts';
import type { SenderFacts } from '../pm/ticket-params-validation.ts';
import type { CreationRound } from '../pm/ticket.ts';
import { type CodeOf, SignerError } from '../errors.ts';

/** What the signer knows of the chain at one moment. */
export type ChainFacts = SenderFacts & {
  /** the last initialized round with its block hash: what tickets carry unless the orchestrator names its own */
  readonly lastInitializedRound: CreationRound;
  /** wei that were claimed from the reserve in the current round */
  readonly claimedInRound: bigint;
  /** wei for one US dollar; undefined where no price feed is read, or it gives no rate that is new enough */
  readonly weiPerUsd: Rational | undefined;
};

/** Where chain facts come from. */
export type ChainFactsSource = {
  /** The newest facts; never waits for the network. Throws {@link ChainError} when there are none fresh enough. */
  currentFacts(): ChainFacts;
  /** The rate of the newest facts, whether or not those are fresh enough themselves. */
  currentRate(): Rational | undefined;
};

/** A source of chain facts, as it is run and watched. */
export type ChainSource = ChainFactsSource & {
  /** the chain that the deposit is on */
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
  /** milliseconds since the facts were asked for */
  readonly ageMs: number;
  readonly facts: ChainFacts;
  /** undefined where no price feed is read */
  readonly priceFeed: PriceFeedStatus | undefined;
  /** whether they are below the configured thresholds */
  readonly isDepositLow: boolean;
  readonly isReserveLow: boolean;
  /** named by position in the configuration; `problem` is undefined while the node answers well */
  readonly nodes: readonly { readonly name: string; readonly problem: string | undefined }[];
};

/** What is known of the price feed. */
export type PriceFeedStatus = {
  /** whether there is a rate for amounts in USD */
  readonly isFresh: boolean;
  /** the last answer that was believed; its age is the time since the feed was updated */
  readonly answer:
    { readonly weiPerUsd: Rational; readonly round: bigint; readonly ageMs: number } | undefined;
  /** the problem of the last reading; undefined when it went well */
  readonly problem: string | undefined;
};

/** Too little is known of the chain, or it does not allow an answer. */
export class ChainError extends SignerError<CodeOf<'chain'>> {}
