/**
 * Payments to Livepeer orchestrators through a remote signer, from anywhere that has `fetch`.
 *
 * @module
 */
export { createPaymentSession, type PaymentSessionOptions } from './create-payment-session.ts';
export {
  createSignerClient,
  type SignerClient,
  type SignerClientOptions,
} from './create-signer-client.ts';
export type {
  DiscoveredOrchestrator,
  DiscoveryFilter,
  Runner,
  RunnerPrice,
} from './discover-orchestrators.ts';
export {
  OrchestratorRefusalError,
  OrchestratorUnreachableError,
  SignerRefusalError,
  SignerUnreachableError,
} from './errors.ts';
export type { Fetch } from './fetch.ts';
export type {
  Encoded,
  LivePaymentRequest,
  LivePaymentResult,
  PaymentType,
  SignerState,
} from './generate-live-payment.ts';
export { decodeOrchestratorInfo, type OrchestratorInfo } from './orchestrator-info.ts';
export { payingFetch, type PaidSession, type PayingFetchOptions } from './paying-fetch.ts';
export { readPaymentChallenge, type PaymentChallenge } from './payment-challenge.ts';
export type { PaymentLoop, PaymentLoopEnd, PaymentLoopOptions } from './payment-loop.ts';
export type { PaymentOutcome } from './payment-outcome.ts';
export type {
  PaymentSession,
  PaymentSessionPorts,
  PayOptions,
  RefreshContext,
  Send,
  SendContext,
  Terms,
} from './payment-session.ts';
export { refreshPayment, type RefreshPaymentOptions } from './refresh-payment.ts';
export {
  resumePaymentSession,
  type ResumePaymentSessionOptions,
} from './resume-payment-session.ts';
export {
  sendPayment,
  type Payment,
  type SendPaymentOptions,
  type SentPayment,
} from './send-payment.ts';
export type { SessionSnapshot } from './session-snapshot.ts';
export type { OrchestratorInfoSignature } from './sign-orchestrator-info.ts';
export type { Hex } from './wire/hex.ts';
