import { type Rational, formatDecimal } from '../pm/rational.ts';
import type { Refusal, RefusalOf } from '../pm/refusal.ts';
import { formatDuration } from './rules/duration.ts';

const refreshSession = 'refresh session for remote signer';

/** A refusal in words, safe for the caller: go-livepeer's own where it has the same check. */
export function describeRefusal(refusal: Refusal): string {
  switch (refusal.code) {
    case 'AUTH_TOKEN_MISSING':
      return 'missing auth token';
    case 'AUTH_TOKEN_EXPIRING':
    case 'NONCES_USED_UP':
      return refreshSession;
    case 'TICKET_PARAMS_MALFORMED':
      return describeMalformedParams(refusal.data.field);
    case 'TICKET_PARAMS_EXPIRED':
      return 'TicketParams expired';
    case 'EXPIRATION_BLOCK_ZERO':
      return 'ticketParams expiration block is 0';
    case 'FACE_VALUE_TOO_LOW':
      return `ticket faceValue too low faceValue=${refusal.data.actual}`;
    case 'TICKET_EV_ABOVE_MAXIMUM': {
      const { actual, maximum } = refusal.data;
      return `ticket EV ${formatDecimal(actual, 5)} > max ticket EV ${formatDecimal(maximum, 5)}`;
    }
    case 'SENDER_UNLOCKING':
      return 'unable to validate sender: deposit and reserve is set to unlock soon';
    case 'RESERVE_EMPTY':
      return 'no sender reserve';
    case 'DEPOSIT_EMPTY':
      return 'no sender deposit';
    case 'TOTAL_EV_ABOVE_MAXIMUM': {
      const { actual, maximum, tickets } = refusal.data;
      return (
        `total ticket EV ${formatDecimal(actual, 5)} for ${tickets} tickets > ` +
        `max total ticket EV ${formatDecimal(maximum, 5)}`
      );
    }
    case 'FACE_VALUE_ABOVE_MAXIMUM': {
      const { actual, maximum } = refusal.data;
      return `ticket faceValue ${actual} > max faceValue ${maximum}`;
    }
    case 'JOB_TYPE_UNKNOWN':
      return 'invalid job type';
    case 'NOTHING_TO_BILL':
      return 'missing billable unit or job type';
    case 'MAX_PRICE_INVALID':
      return describeMaxPrice(refusal.data);
    case 'MANIFEST_ID_INVALID':
      return 'start' in refusal.data
        ? `manifestID must not start with ${refusal.data.start}`
        : `manifestID must not have ${refusal.data.length} bytes`;
    case 'BYOC_JOB_INVALID':
      return `a job must not have ${refusal.data.length} bytes, which a ticket has: change its id`;
    case 'PRICE_ABOVE_CEILING': {
      const { actual, maximum, source } = refusal.data;
      const whose = source === 'rule' ? `rule ${refusal.data.ruleId}` : source;
      return `orchestrator price ${formatDecimal(actual, 3)} exceeds ${whose} ceiling ${formatDecimal(maximum, 3)}`;
    }
    case 'NO_TICKETS_DUE':
      return 'no tickets';
    case 'TICKET_COUNT_ABOVE_MAXIMUM':
      return `numTickets ${refusal.data.actual} exceeds maximum of ${refusal.data.maximum}`;
    case 'STATE_FORKED':
      return 'another request has used this state before';
    case 'RULE_DENIED':
      return `denied by rule ${refusal.data.ruleId}`;
    case 'NO_RULE_ALLOWS':
      return `denied: no rule allows this ${refusal.data.kind ? 'BYOC job' : 'payment'}`;
    case 'RULE_LIMIT_EXCEEDED':
      return `denied by rule ${refusal.data.ruleId}: ${describeLimit(refusal.data)}`;
    case 'WINDOW_EXHAUSTED':
      return describeWindow(refusal.data);
    case 'TRANSACTION_NOT_ALLOWED':
      return describeTransaction(refusal.data);
    case 'TRANSACTION_FEE_ABOVE_MAXIMUM': {
      const { actual, maximum } = refusal.data;
      return `the transaction may cost ${actual} wei of gas, which exceeds the maximum of ${maximum} wei`;
    }
  }
}

function describeMaxPrice(data: RefusalOf<'MAX_PRICE_INVALID'>['data']): string {
  switch (data.field) {
    case 'price':
      return 'maxPrice.price must be a positive decimal';
    case 'currency':
      return 'maxPrice.currency must be wei';
    case 'type':
      return 'maxPrice requires payment type live, lv2v, or fixed';
    case 'unit':
      return `maxPrice.unit must be ${data.unit} for payment type ${data.type}`;
  }
}

function describeLimit(data: RefusalOf<'RULE_LIMIT_EXCEEDED'>['data']): string {
  switch (data.limit) {
    case 'ticketEv':
      return `a ticket's EV of ${inWei(data.actual)} exceeds its limit of ${inWei(data.maximum)}`;
    case 'totalEv':
      return `a total EV of ${inWei(data.actual)} exceeds its limit of ${inWei(data.maximum)}`;
    case 'faceValue':
      return `a face value of ${inWei(data.actual)} exceeds its limit of ${inWei(data.maximum)}`;
    case 'tickets':
      return `${data.actual} tickets exceed its limit of ${data.maximum}`;
    case 'sessionEv':
      return `the session's EV would exceed its limit of ${inWei(data.maximum)}`;
    case 'sessionDuration':
      return `the session has lasted longer than its limit of ${formatDuration(data.maximumMs)}`;
    case 'sessionIdle':
      return `the session has not paid for longer than ${formatDuration(data.maximumMs)}, and what it spent is forgotten`;
    case 'windowEv':
      return `an EV of ${inWei(data.actual)} exceeds its limit of ${inWei(data.maximum)} every ${formatDuration(data.windowMs)}`;
    case 'windowTickets':
    case 'windowSessions':
      return (
        `${data.actual} ${data.limit === 'windowTickets' ? 'tickets' : 'sessions'} exceed its limit of ` +
        `${data.maximum} every ${formatDuration(data.windowMs)}`
      );
  }
}

const windowUnit = { ev: 'wei of EV', tickets: 'tickets', sessions: 'sessions' };

/** It names the rule and its limit, never what was spent: others may share the window. */
function describeWindow({
  ruleId,
  limit,
  maximum,
  windowMs,
  scope,
}: RefusalOf<'WINDOW_EXHAUSTED'>['data']): string {
  const sharedBy = scope === '' ? '' : ` for each ${scope.slice(0, scope.indexOf('='))}`;
  return (
    `denied by rule ${ruleId}: no room is left in its limit of ${maximum} ${windowUnit[limit]} ` +
    `every ${formatDuration(windowMs)}${sharedBy}`
  );
}

function describeMalformedParams(
  field: RefusalOf<'TICKET_PARAMS_MALFORMED'>['data']['field'],
): string {
  switch (field) {
    case 'creationRound':
      return 'ticket creation round must not be negative';
    case 'recipient':
      return 'ticket recipient is no address that is paid';
    case 'faceValue':
    case 'winProb':
      return 'ticket faceValue and winProb must fit into 32 bytes';
  }
}

function describeTransaction(data: RefusalOf<'TRANSACTION_NOT_ALLOWED'>['data']): string {
  switch (data.field) {
    case 'transaction':
      return 'this process signs no transactions';
    case 'chainId':
      return `the transaction is for chain ${data.actual}, not for chain ${data.expected}`;
    case 'broker':
      return `the transaction goes to ${data.actual}, not to the TicketBroker ${data.expected}`;
    case 'function':
      return 'the function is none that a sender manages its funds with';
  }
}

function inWei(wei: bigint | Rational): string {
  if (typeof wei === 'bigint') return `${wei} wei`;
  const { numerator, denominator } = wei;
  return denominator === 1n ? inWei(numerator) : `${formatDecimal(wei, 3)} wei`;
}
