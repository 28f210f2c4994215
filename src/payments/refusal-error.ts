import type { Principal } from '../auth/principal.ts';
import { type CodeOf, SignerError } from '../errors.ts';
import type { Refusal } from '../pm/refusal.ts';

type RefusalContext = {
  readonly ruleId?: string | undefined;
  readonly principal?: Principal | undefined;
};

/** A rule refused the payment; nothing was signed. `code` is the stable id of the rule. */
export class RefusalError extends SignerError<CodeOf<'policy' | 'request'>> {
  /** the rule of the policy file that refused; undefined where it was none */
  readonly ruleId: string | undefined;
  /** who asked, where it was established later than by the transport */
  readonly principal: Principal | undefined;

  constructor({ code, message }: Refusal, { ruleId, principal }: RefusalContext = {}) {
    super(code, message);
    this.ruleId = ruleId;
    this.principal = principal;
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
