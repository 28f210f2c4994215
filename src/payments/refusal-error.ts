import { type CodeOf, SignerError } from '../errors.ts';
import type { Refusal } from '../pm/refusal.ts';

/** A rule refused the payment; nothing was signed. `code` is the stable id of the rule. */
export class RefusalError extends SignerError<CodeOf<'policy' | 'request'>> {
  constructor({ code, message }: Refusal) {
    super(code, message);
  }
}

/** The caller must fetch new ticket parameters or a new auth token from the orchestrator first. */
export class SessionRefreshError extends RefusalError {
  /** the orchestrator's service URL, as the caller named it */
  readonly orchestratorUrl: string;

  constructor({ code }: Refusal, orchestratorUrl: string) {
    super({ code, message: 'refresh session for remote signer' });
    this.orchestratorUrl = orchestratorUrl;
  }
}
