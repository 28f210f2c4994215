import type { CodeOf } from '../errors.ts';

/** A rule's "no", as a value: the stable reason code and the text for the caller. */
export type Refusal = {
  readonly code: CodeOf<'policy' | 'request'>;
  readonly message: string;
};
