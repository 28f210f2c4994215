import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel';

/** The steps of a payment that are published, from the outside in; docs/traces.md tells what each is. */
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

/** Names, kinds, counts, codes: never a secret, an amount, or what a caller calls something. */
export type StepAttributes = Record<string, string | number | undefined>;

/** What a channel's subscribers are given at a step's beginning and, the same object, at its end. */
export type StepMessage = {
  readonly attributes: StepAttributes;
  /** of a request: the caller's; a subscriber may set that of another step, which is what goes to the service that the step asks */
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
 * Does `work`, published as a step where anybody subscribes, and gives its result, which is not published. `attributes` may be added to
 * until the step ends. The message is undefined where nobody subscribes.
 */
export function traceStep<Result>(
  step: TracedStep,
  attributes: StepAttributes,
  work: (message: StepMessage | undefined) => Promise<Result>,
): Promise<Result> {
  if (!isTraced(step)) return work(undefined);
  return publishStep(stepChannels[step], { attributes }, work);
}

/** As `tracePromise` publishes it, without the result, and with half its promises. */
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
