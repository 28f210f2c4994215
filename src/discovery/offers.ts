/** A live runner that an orchestrator offers. */
export type Runner = {
  readonly url: string;
  readonly app: string;
  /** '' where it names none */
  readonly gpu: string;
  /** as it is listed */
  readonly json: string;
  /** all that is listed but how busy it is */
  readonly terms: string;
};

/** What is offered at a service URL, by word of one orchestrator. */
export type Offer = {
  /** as the orchestrator gave it, without a slash at the end */
  readonly address: string;
  /** `pipeline/model`, in no order */
  readonly capabilities: readonly string[];
  readonly runners: readonly Runner[];
};
