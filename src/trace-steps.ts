import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel';

/** The steps of a payment that are published, the outermost first; docs/traces.md explains each. */
export const tracedSteps = [
  'request',
  'decision',
  'webhook',
  'ledger',
  'audit',
  'key-call',
  'seal',
] as const;

export type TracedStep = (typeof tracedSteps)[number];

/** Names, kinds, counts and codes: never a secret, an amount, or a name that a caller has chosen. */
export type StepAttributes = Record<string, string | number | undefined>;

/** What subscribers of a channel get when a step begins; at its end they get the same object. */
export type StepMessage = {
  readonly attributes: StepAttributes;
  /**
   * for a request the caller's; for another step a subscriber may set it, and it is then sent to the service that the step asks
   */
  traceparent?: string | undefined;
  /** what the step failed with */
  error?: unknown;
};

type StepChannel = TracingChannel<unknown, StepMessage>;

/** `livepeer-hsm-signer:STEP`, each a tracing channel of `node:diagnostics_channel`. */
export const stepChannels = Object.fromEntries(
  tracedSteps.map((step) => [step, tracingChannel(`livepeer-hsm-signer:${step}`)]),
) as Readonly<Record<TracedStep, StepChannel>>;

/** Whether anybody wants to know of a step. */
export function isTraced(step: TracedStep): boolean {
  return stepChannels[step].start.hasSubscribers;
}

/**
 * Does `work` and gives its result. Where anybody subscribes, it is published as a step, without its result. `attributes` may be
 * added to until the step ends. `work` gets the message, or undefined where nobody subscribes.
 */
export function traceStep<Result>(
  step: TracedStep,
  attributes: StepAttributes,
  work: (message: StepMessage | undefined) => Promise<Result>,
): Promise<Result> {
  if (!isTraced(step)) return work(undefined);
  return publishStep(stepChannels[step], { attributes }, work);
}

/** Publishes a step as `tracePromise` does, but without the result, and with half as many promises. */
function publishStep<Result>(
  { start, end, asyncStart, asyncEnd, error: failed }: StepChannel,
  message: StepMessage,
  work: (message: StepMessage) => Promise<Result>,
): Promise<Result> {
  const settle = (): void => {
    asyncStart.publish(message);
    asyncEnd.publish(message);
  };
  return start.runStores(message, () => {
    const working = work(message);
    end.publish(message);
    return working.then(
      (result) => {
        settle();
        return result;
      },
      (error: unknown) => {
        message.error = error;
        failed.publish(message);
        settle();
        throw error;
      },
    );
  });
}
