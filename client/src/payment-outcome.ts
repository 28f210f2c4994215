import type { Payment } from './send-payment.ts';

/** How one payment cycle ended. `refreshes` counts how often fresh terms were fetched. */
export type PaymentOutcome =
  | { readonly kind: 'paid'; readonly payment: Payment; readonly refreshes: number }
  | { readonly kind: 'nothing-due'; readonly refreshes: number };
