/**
 * What needs Node: gRPC to orchestrators, and requests to those that sign their certificates themselves. Bun and Deno have it too.
 *
 * @module
 */
export {
  getOrchestratorInfo,
  type GetOrchestratorInfoOptions,
} from './node/get-orchestrator-info.ts';
export { orchestratorFetch } from './node/orchestrator-fetch.ts';
export {
  orchestratorRefresh,
  type OrchestratorRefreshOptions,
} from './node/orchestrator-refresh.ts';
