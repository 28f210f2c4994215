import { traceStep } from '../trace-steps.ts';

type Verdict =
  | { readonly kind: 'allow' }
  | { readonly kind: 'deny'; readonly refusal: { readonly code: string } };

/** Publishes a decision as a step of the trace, with its outcome. */
export function traceDecision<Decided extends Verdict>(
  about: { readonly kind: string },
  decide: () => Promise<Decided>,
): Promise<Decided> {
  return traceStep('decision', about, async (step) => {
    const verdict = await decide();
    if (step) step.attributes['result'] = verdict.kind === 'deny' ? verdict.refusal.code : 'allow';
    return verdict;
  });
}
