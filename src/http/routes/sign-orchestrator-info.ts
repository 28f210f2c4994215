import type { Router } from 'express';
import type { Caller } from '../../auth/authorization.ts';
import type { CallerIdentifier } from '../../auth/caller.ts';
import type { OrchestratorInfoSignature } from '../../payments/sign-orchestrator-info.ts';
import { refuseMethod } from '../refuse-method.ts';
import { callerOf, identifyCaller } from '../request-context.ts';
import { json, send } from '../send.ts';

export type SignOrchestratorInfoRoute = {
  readonly orchestratorInfo: (caller: Caller) => Promise<OrchestratorInfoSignature>;
  readonly identifyCaller: CallerIdentifier;
  /** whether a credential is required here too */
  readonly protectOrchestratorInfo: boolean;
};

/** `POST /sign-orchestrator-info`: the sender's address and its signature, made at start. */
export function mountSignOrchestratorInfo(
  router: Router,
  options: SignOrchestratorInfoRoute,
): void {
  router
    .route('/sign-orchestrator-info')
    .post(
      identifyCaller(
        options.identifyCaller,
        options.protectOrchestratorInfo ? 'required' : 'optional',
      ),
    )
    .post(async (_request, response) => {
      const info = await options.orchestratorInfo(callerOf(response));
      send(response, { status: 200, headers: json, body: `${JSON.stringify(info)}\n` });
    })
    .all(refuseMethod('POST'));
}
