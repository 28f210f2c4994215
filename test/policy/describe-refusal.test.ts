import { expect, it } from 'vitest';
import type { Refusal } from '../../src/pm/refusal.ts';
import { describeRefusal } from '../../src/policy/describe-refusal.ts';
import { addressOf, wei } from './rules/payment-facts.ts';

const bounds = { actual: wei(10n, 3n), maximum: wei(1n) };
const hour = 3_600_000;
const ruleId = 'r';
const exceeded = (
  data: Record<string, unknown>,
): Extract<Refusal, { code: 'RULE_LIMIT_EXCEEDED' }> =>
  ({ code: 'RULE_LIMIT_EXCEEDED', data: { ruleId, ...data } }) as never;
const full = (limit: 'ev' | 'tickets' | 'sessions', scope: string): Refusal => ({
  code: 'WINDOW_EXHAUSTED',
  data: { ruleId, limit, maximum: 9n, windowMs: hour, scope },
});

it.each<[Refusal, string]>([
  [{ code: 'AUTH_TOKEN_MISSING', data: {} }, 'missing auth token'],
  [
    { code: 'AUTH_TOKEN_EXPIRING', data: { expiresAtSeconds: 1n } },
    'refresh session for remote signer',
  ],
  [{ code: 'NONCES_USED_UP', data: { nonce: 500 } }, 'refresh session for remote signer'],
  [
    { code: 'TICKET_PARAMS_MALFORMED', data: { field: 'creationRound' } },
    'ticket creation round must not be negative',
  ],
  [
    { code: 'TICKET_PARAMS_MALFORMED', data: { field: 'recipient' } },
    'ticket recipient is no address that is paid',
  ],
  [
    { code: 'TICKET_PARAMS_MALFORMED', data: { field: 'faceValue' } },
    'ticket faceValue and winProb must fit into 32 bytes',
  ],
  [
    { code: 'TICKET_PARAMS_MALFORMED', data: { field: 'winProb' } },
    'ticket faceValue and winProb must fit into 32 bytes',
  ],
  [
    { code: 'TICKET_PARAMS_EXPIRED', data: { expirationBlock: 1n, l1Block: 2n } },
    'TicketParams expired',
  ],
  [{ code: 'EXPIRATION_BLOCK_ZERO', data: {} }, 'ticketParams expiration block is 0'],
  [{ code: 'FACE_VALUE_TOO_LOW', data: { actual: 7n } }, 'ticket faceValue too low faceValue=7'],
  [{ code: 'TICKET_EV_ABOVE_MAXIMUM', data: bounds }, 'ticket EV 3.33333 > max ticket EV 1.00000'],
  [
    { code: 'SENDER_UNLOCKING', data: { withdrawRound: 1n } },
    'unable to validate sender: deposit and reserve is set to unlock soon',
  ],
  [{ code: 'RESERVE_EMPTY', data: {} }, 'no sender reserve'],
  [{ code: 'DEPOSIT_EMPTY', data: {} }, 'no sender deposit'],
  [
    { code: 'TOTAL_EV_ABOVE_MAXIMUM', data: { ...bounds, tickets: 4n } },
    'total ticket EV 3.33333 for 4 tickets > max total ticket EV 1.00000',
  ],
  [
    { code: 'FACE_VALUE_ABOVE_MAXIMUM', data: { actual: 7n, maximum: 6n } },
    'ticket faceValue 7 > max faceValue 6',
  ],
  [{ code: 'JOB_TYPE_UNKNOWN', data: {} }, 'invalid job type'],
  [{ code: 'NOTHING_TO_BILL', data: {} }, 'missing billable unit or job type'],
  [
    { code: 'MAX_PRICE_INVALID', data: { field: 'price' } },
    'maxPrice.price must be a positive decimal',
  ],
  [{ code: 'MAX_PRICE_INVALID', data: { field: 'currency' } }, 'maxPrice.currency must be wei'],
  [
    { code: 'MAX_PRICE_INVALID', data: { field: 'type' } },
    'maxPrice requires payment type live, lv2v, or fixed',
  ],
  [
    { code: 'MAX_PRICE_INVALID', data: { field: 'unit', type: 'live', unit: 'seconds' } },
    'maxPrice.unit must be seconds for payment type live',
  ],
  [{ code: 'MANIFEST_ID_INVALID', data: { start: 'LP' } }, 'manifestID must not start with LP'],
  [{ code: 'MANIFEST_ID_INVALID', data: { length: 104 } }, 'manifestID must not have 104 bytes'],
  [
    { code: 'BYOC_JOB_INVALID', data: { length: 168 } },
    'a job must not have 168 bytes, which a ticket has: change its id',
  ],
  [
    { code: 'PRICE_ABOVE_CEILING', data: { ...bounds, source: 'request maxPrice' } },
    'orchestrator price 3.333 exceeds request maxPrice ceiling 1.000',
  ],
  [
    { code: 'PRICE_ABOVE_CEILING', data: { ...bounds, source: 'rule', ruleId } },
    'orchestrator price 3.333 exceeds rule r ceiling 1.000',
  ],
  [{ code: 'NO_TICKETS_DUE', data: {} }, 'no tickets'],
  [
    { code: 'TICKET_COUNT_ABOVE_MAXIMUM', data: { actual: 7n, maximum: 6n } },
    'numTickets 7 exceeds maximum of 6',
  ],
  [{ code: 'STATE_FORKED', data: {} }, 'another request has used this state before'],
  [{ code: 'RULE_DENIED', data: { ruleId } }, 'denied by rule r'],
  [{ code: 'NO_RULE_ALLOWS', data: {} }, 'denied: no rule allows this payment'],
  [{ code: 'NO_RULE_ALLOWS', data: { kind: 'byocJob' } }, 'denied: no rule allows this BYOC job'],
  [
    exceeded({ limit: 'ticketEv', ...bounds }),
    "denied by rule r: a ticket's EV of 3.333 wei exceeds its limit of 1 wei",
  ],
  [
    exceeded({ limit: 'totalEv', actual: 7n, maximum: 6n }),
    'denied by rule r: a total EV of 7 wei exceeds its limit of 6 wei',
  ],
  [
    exceeded({ limit: 'faceValue', actual: 7n, maximum: 6n }),
    'denied by rule r: a face value of 7 wei exceeds its limit of 6 wei',
  ],
  [
    exceeded({ limit: 'tickets', actual: 7n, maximum: 6n }),
    'denied by rule r: 7 tickets exceed its limit of 6',
  ],
  [
    exceeded({ limit: 'sessionEv', actual: 7n, maximum: 6n }),
    "denied by rule r: the session's EV would exceed its limit of 6 wei",
  ],
  [
    exceeded({ limit: 'sessionDuration', maximumMs: hour }),
    'denied by rule r: the session has lasted longer than its limit of 1h',
  ],
  [
    exceeded({ limit: 'sessionIdle', maximumMs: hour }),
    'denied by rule r: the session has not paid for longer than 1h, and what it spent is forgotten',
  ],
  [
    exceeded({ limit: 'windowEv', actual: 7n, maximum: 6n, windowMs: hour }),
    'denied by rule r: an EV of 7 wei exceeds its limit of 6 wei every 1h',
  ],
  [
    exceeded({ limit: 'windowTickets', actual: 7n, maximum: 6n, windowMs: hour }),
    'denied by rule r: 7 tickets exceed its limit of 6 every 1h',
  ],
  [
    exceeded({ limit: 'windowSessions', actual: 7n, maximum: 6n, windowMs: hour }),
    'denied by rule r: 7 sessions exceed its limit of 6 every 1h',
  ],
  [full('ev', ''), 'denied by rule r: no room is left in its limit of 9 wei of EV every 1h'],
  [
    full('tickets', 'tenant=a=b'),
    'denied by rule r: no room is left in its limit of 9 tickets every 1h for each tenant',
  ],
  [
    full('sessions', 'app='),
    'denied by rule r: no room is left in its limit of 9 sessions every 1h for each app',
  ],
  [
    { code: 'TRANSACTION_NOT_ALLOWED', data: { field: 'transaction' } },
    'this process signs no transactions',
  ],
  [
    { code: 'TRANSACTION_NOT_ALLOWED', data: { field: 'chainId', actual: 1, expected: 2 } },
    'the transaction is for chain 1, not for chain 2',
  ],
  [
    {
      code: 'TRANSACTION_NOT_ALLOWED',
      data: { field: 'broker', actual: addressOf('a'), expected: addressOf('b') },
    },
    `the transaction goes to ${addressOf('a')}, not to the TicketBroker ${addressOf('b')}`,
  ],
  [
    { code: 'TRANSACTION_NOT_ALLOWED', data: { field: 'function' } },
    'the function is none that a sender manages its funds with',
  ],
  [
    { code: 'TRANSACTION_FEE_ABOVE_MAXIMUM', data: { actual: 7n, maximum: 6n } },
    'the transaction may cost 7 wei of gas, which exceeds the maximum of 6 wei',
  ],
])('a caller is told of $0.code: %#', (refusal, says) => {
  expect(describeRefusal(refusal)).toBe(says);
});
