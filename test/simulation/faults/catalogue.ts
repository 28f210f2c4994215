/** One place of src that a fault changes; `find` is there exactly once. */
export type Edit = { readonly file: string; readonly find: string; readonly replace: string };

/** A deliberate mistake. */
export type PlantedFault = {
  readonly name: string;
  /** what the mistake is */
  readonly mistake: string;
  /** the invariant of the simulation that it breaks; of several, any is as good */
  readonly invariants: readonly string[];
  readonly edits: readonly Edit[];
};

const embedded = 'src/policy/limits/embedded/embedded-ledger.ts';
const ledgerFile = 'src/policy/limits/embedded/ledger-file.ts';
const ledgerTables = 'src/policy/limits/embedded/ledger-tables.ts';
const redisLedger = 'src/policy/limits/redis/redis-ledger.ts';
const ledgerScripts = 'src/policy/limits/redis/redis-scripts.ts';
const decision = 'src/policy/decide-payment.ts';
const payment = 'src/payments/generate-live-payment.ts';
const repeats = 'src/payments/repeated-requests.ts';
const memory = 'src/session/memory-answers.ts';
const marks = 'src/session/nonce-marks.ts';
const answerScripts = 'src/session/redis-scripts.ts';

/** Mistakes that somebody could make. The simulation of the fleet must find each of them, whatever other tests do. */
export const catalogue: readonly PlantedFault[] = [
  // policy: windows and session limits
  {
    name: 'redis-limit-before-spend',
    mistake: 'Redis compares the limit with what was spent before, not with what will have been.',
    invariants: ['window-exceeded'],
    edits: [
      {
        file: ledgerScripts,
        find: 'local place = exceeded(total, first)',
        replace: 'local place = exceeded(add(total, spend, -1), first)',
      },
    ],
  },
  {
    name: 'redis-low-word-left-out',
    mistake: 'Redis compares the high words of amounts alone.',
    invariants: ['window-exceeded'],
    edits: [
      {
        file: ledgerScripts,
        find: '(total[place] > high or (total[place] == high and total[place + 1] > low))',
        replace: 'total[place] > high',
      },
    ],
  },
  {
    name: 'redis-window-forgets-slots',
    mistake: 'Redis takes off slots of a window that still count.',
    invariants: ['window-exceeded'],
    edits: [
      {
        file: ledgerScripts,
        find: 'math.min(newest, slot - ${slotsPerWindow + 1}) do',
        replace: 'math.min(newest, slot - ${slotsPerWindow / 3}) do',
      },
    ],
  },
  {
    name: 'redis-first-window-only',
    mistake: 'Redis counts a payment in the first of its windows alone.',
    invariants: ['reservations', 'window-exceeded'],
    edits: [
      {
        file: ledgerScripts,
        find: 'for index = 1, counters do\n  local key = KEYS[index + 1]\n  local field = write(slots[index])',
        replace:
          'for index = 1, math.min(1, counters) do\n  local key = KEYS[index + 1]\n  local field = write(slots[index])',
      },
    ],
  },
  {
    name: 'redis-total-not-released',
    mistake: 'A release in Redis takes the spend off its slot, and not off the total.',
    invariants: ['reservations'],
    edits: [
      {
        file: ledgerScripts,
        find: "redis.call('HSET', key, field, pack(left), 'total', pack(total))",
        replace: "redis.call('HSET', key, field, pack(left))",
      },
    ],
  },
  {
    name: 'redis-settled-twice',
    mistake: 'A payment that failed is released twice, and Redis takes it off twice.',
    invariants: ['reservations', 'window-exceeded'],
    edits: [
      {
        file: ledgerScripts,
        find: "if redis.call('DEL', KEYS[1]) == 0 then return 0 end",
        replace: "redis.call('DEL', KEYS[1])",
      },
      {
        file: redisLedger,
        find: 'release: (unused) => (released ??= giveBack(slots, unused)),',
        replace: 'release: (unused) => giveBack(slots, unused),',
      },
      {
        file: payment,
        find: '    await verdict.release(keyUse);\n',
        replace: '    await verdict.release(keyUse);\n    await verdict.release(keyUse);\n',
      },
    ],
  },
  {
    name: 'redis-session-by-state',
    mistake:
      'Redis goes by what the state says its session has spent, so forks each have the whole limit.',
    invariants: ['session-limit-exceeded'],
    edits: [
      {
        file: ledgerScripts,
        find: 'if known[1] > spent[1] or (known[1] == spent[1] and known[2] > spent[2]) then spent = known end',
        replace: '',
      },
    ],
  },
  {
    name: 'embedded-session-by-state',
    mistake: 'A session counts as its state says, so forks each have the whole limit.',
    invariants: ['session-limit-exceeded'],
    edits: [
      {
        file: 'src/policy/limits/sessions.ts',
        find: 'const spent = knownEv > spentEv ? knownEv : spentEv;',
        replace: 'const spent = spentEv;',
      },
    ],
  },
  {
    name: 'embedded-limit-before-spend',
    mistake: 'A window refuses only what comes after its limit was passed.',
    invariants: ['window-exceeded'],
    edits: [
      {
        file: 'src/policy/limits/windows.ts',
        find: 'spend[kind] > 0n && spent[kind] + spend[kind] > maximum',
        replace: 'spend[kind] > 0n && spent[kind] > maximum',
      },
    ],
  },
  {
    name: 'embedded-settled-twice',
    mistake: 'A payment that failed is released twice, and the file takes it off twice.',
    invariants: ['reservations', 'window-exceeded'],
    edits: [
      {
        file: embedded,
        find: 'release: (unused) => (released ??= release(result, unused)),',
        replace: 'release: (unused) => release(result, unused),',
      },
      {
        file: payment,
        find: '    await verdict.release(keyUse);\n',
        replace: '    await verdict.release(keyUse);\n    await verdict.release(keyUse);\n',
      },
    ],
  },
  {
    name: 'sql-newest-slot-alone',
    mistake: 'SQLite is given a total without what was spent in earlier slots.',
    invariants: ['reservations', 'window-exceeded'],
    edits: [
      {
        file: ledgerFile,
        find: 'return { ...fresh, id, total: left, hasChanged: true };',
        replace: 'return { ...fresh, id, total: nothingSpent, hasChanged: true };',
      },
    ],
  },
  {
    name: 'sql-synchronous-off',
    mistake: 'SQLite commits without waiting for the disk.',
    invariants: ['window-exceeded', 'session-limit-exceeded', 'reservations'],
    edits: [
      {
        file: ledgerTables,
        find: 'PRAGMA synchronous = FULL',
        replace: 'PRAGMA synchronous = OFF',
      },
    ],
  },
  {
    name: 'sql-scope-left-out',
    mistake: 'The statement that finds a counter does not ask whose share it is.',
    invariants: ['reservations', 'window-exceeded', 'no-unknown-failure'],
    edits: [
      {
        file: ledgerTables,
        find: 'FROM counters WHERE rule = ? AND scope = ? AND window_ms = ?',
        replace: 'FROM counters WHERE rule = ? AND length(?) >= 0 AND window_ms = ?',
      },
    ],
  },
  {
    name: 'reservation-not-undone',
    mistake: 'A payment that came to nothing keeps what it has reserved.',
    invariants: ['reservations'],
    edits: [{ file: payment, find: '    await verdict.release(keyUse);\n', replace: '' }],
  },
  {
    name: 'all-released',
    mistake: 'A payment that failed gives back also what the key was asked for.',
    invariants: ['reservations', 'window-exceeded'],
    edits: [
      {
        file: decision,
        find: 'release: (use) => reservation.release(unusedSpend(facts, use)),',
        replace: 'release: () => reservation.release(),',
      },
    ],
  },
  {
    name: 'released-before-abort',
    mistake: 'A payment that failed is released while its calls of the key may still begin.',
    invariants: ['reservations', 'window-exceeded'],
    edits: [
      {
        file: 'src/payments/sign-payment.ts',
        find: '      failed.abort(error);\n      throw error;',
        replace: '      throw error;',
      },
    ],
  },
  {
    name: 'session-not-counted',
    mistake: 'A payment that failed gives back its session although the key was asked.',
    invariants: ['reservations', 'window-exceeded'],
    edits: [
      {
        file: decision,
        find: 'sessions: isKeyUsed ? spend.sessions : 0n',
        replace: 'sessions: 0n',
      },
    ],
  },
  {
    name: 'one-ticket-counted',
    mistake: 'A payment counts as one ticket, however many it has.',
    invariants: ['reservations', 'window-exceeded'],
    edits: [
      {
        file: 'src/policy/rules/facts.ts',
        find: 'return { ev: divideRoundingUp(total, one), tickets, sessions',
        replace: 'return { ev: divideRoundingUp(total, one), tickets: 1n, sessions',
      },
    ],
  },
  {
    name: 'session-limit-by-payment',
    mistake:
      'The ledger tells sessions by their state’s number too, so each payment begins its limit anew.',
    invariants: ['session-limit-exceeded'],
    edits: [
      {
        file: 'src/policy/session-spending.ts',
        find: 'books.orchestratorAddress, books.stateId]',
        replace: 'books.orchestratorAddress, books.stateId, `${books.sequenceNumber}`]',
      },
      {
        file: 'src/policy/session-spending.ts',
        find: 'spentEv: books.spentEv ?? 0n,',
        replace: 'spentEv: 0n,',
      },
    ],
  },
  {
    name: 'window-shared-by-none',
    mistake: 'A window of a tenant is told by its principals.',
    invariants: ['window-exceeded', 'reservations'],
    edits: [
      {
        file: 'src/policy/rules/windows.ts',
        find: "case 'tenant':\n      return",
        replace: "case 'tenant':\n      return `principal=${facts.principal.id}`;\n      return",
      },
    ],
  },
  {
    name: 'redis-window-a-slot-short',
    mistake: 'Redis takes off the oldest slot of a window while a part of it still counts.',
    invariants: ['window-exceeded'],
    edits: [
      {
        file: ledgerScripts,
        find: 'math.min(newest, slot - ${slotsPerWindow + 1}) do',
        replace: 'math.min(newest, slot - ${slotsPerWindow}) do',
      },
    ],
  },
  {
    name: 'embedded-window-a-slot-short',
    mistake: 'SQLite deletes the oldest slot of a window while a part of it still counts.',
    invariants: ['window-exceeded'],
    edits: [
      {
        file: ledgerFile,
        find: 'this.#sql.deleteSlots.all(id, now - slotsPerWindow)',
        replace: 'this.#sql.deleteSlots.all(id, now - slotsPerWindow + 1)',
      },
    ],
  },
  {
    name: 'redis-limit-off-by-one',
    mistake: 'Redis lets one more through than the limit says.',
    invariants: ['window-exceeded'],
    edits: [
      {
        file: ledgerScripts,
        find: 'total[place] == high and total[place + 1] > low)',
        replace: 'total[place] == high and total[place + 1] > low + 1)',
      },
    ],
  },
  {
    name: 'embedded-limit-off-by-one',
    mistake: 'A window in SQLite lets one more through than its limit says.',
    invariants: ['window-exceeded'],
    edits: [
      {
        file: 'src/policy/limits/windows.ts',
        find: 'spent[kind] + spend[kind] > maximum',
        replace: 'spent[kind] + spend[kind] > maximum + 1n',
      },
    ],
  },
  {
    name: 'redis-low-word-zero',
    mistake: 'Redis takes an amount for nothing whose low word is 0.',
    invariants: ['window-exceeded'],
    edits: [
      {
        file: ledgerScripts,
        find: 'local isSpent = spend[place] > 0 or spend[place + 1] > 0',
        replace: 'local isSpent = spend[place + 1] > 0',
      },
    ],
  },
  {
    name: 'redis-counter-expires-with-its-slot',
    mistake: 'Redis forgets a counter when its newest slot is over.',
    invariants: ['reservations', 'window-exceeded'],
    edits: [
      {
        file: ledgerScripts,
        find: 'write(math.ceil(windowMs * ${slotsPerWindow + 2} / ${slotsPerWindow}) + 1000)',
        replace: 'write(math.ceil(windowMs / ${slotsPerWindow}))',
      },
    ],
  },
  {
    name: 'redis-clock-back-frees-window',
    mistake: 'When Redis’ clock is set back, its windows begin anew.',
    invariants: ['reservations', 'window-exceeded'],
    edits: [
      {
        file: ledgerScripts,
        find: '  if slot <= newest then return newest, total end\n',
        replace:
          '  if slot == newest then return newest, total end\n  if slot < newest then total = read(nil) end\n',
      },
    ],
  },
  {
    name: 'embedded-clock-back-frees-window',
    mistake:
      'The ledger of one process goes by the wall clock, and when that is set back its windows begin anew.',
    invariants: ['reservations', 'window-exceeded'],
    edits: [
      {
        file: embedded,
        find: 'return () => Math.floor(startedMs + performance.now());',
        replace: 'return () => Date.now();',
      },
      { file: ledgerFile, find: 'return timeMs + this.#aheadMs;', replace: 'return timeMs;' },
      {
        file: ledgerFile,
        find: '    if (slot >= now) {\n',
        replace:
          '    if (slot > now) return { ...fresh, id, total: nothingSpent, hasChanged: true };\n    if (slot >= now) {\n',
      },
    ],
  },
  {
    name: 'embedded-ledger-by-wall-clock',
    mistake:
      'The ledger of one process goes by the wall clock, so whoever sets that forward frees its windows.',
    invariants: ['reservations', 'window-exceeded'],
    edits: [
      {
        file: embedded,
        find: 'return () => Math.floor(startedMs + performance.now());',
        replace: 'return () => Date.now();',
      },
    ],
  },
  {
    name: 'fee-counted-for-tickets',
    mistake: 'Windows count what the quote says the work costs, not what the tickets are worth.',
    invariants: ['reservations', 'window-exceeded', 'session-limit-exceeded'],
    edits: [
      {
        file: decision,
        find: '    const spend = spendOf(facts);\n    const policy',
        replace:
          '    const fee = divideRoundingDown(proposal.quote.fee, { numerator: 1n, denominator: 1n });\n    const spend = { ...spendOf(facts), ev: fee };\n    const policy',
      },
    ],
  },
  {
    name: 'ceiling-of-the-quote',
    mistake:
      'A price ceiling is held against the orchestrator’s quote alone, and not against what is billed.',
    invariants: ['price-above-ceiling'],
    edits: [
      {
        file: 'src/policy/proposal.ts',
        find: '    refusePriceAboveCeilings(priceRatio(proposal.price), ceilings) ??\n    refusePriceAboveCeilings(judgedPriceOf(proposal), ceilings)\n',
        replace: '    refusePriceAboveCeilings(priceRatio(proposal.price), ceilings)\n',
      },
    ],
  },
  // session: claims, answers, marks of nonces
  {
    name: 'claim-by-request-only',
    mistake: 'Redis lets two requests have the same state at the same time without telling either.',
    invariants: ['fork-denied', 'fork-seen'],
    edits: [
      {
        file: answerScripts,
        find: "    if uses[place] == ARGV[1] then return {'pending'} end\n    kind = 'fork'",
        replace: "    if uses[place] == ARGV[1] then return {'pending'} end",
      },
    ],
  },
  {
    name: 'claim-of-used-states-only',
    mistake: 'One process lets two requests have the same state at the same time.',
    invariants: ['fork-denied', 'fork-seen'],
    edits: [
      {
        file: memory,
        find: '(underWay.has(use) || marks.has(use))',
        replace: 'marks.has(use)',
      },
    ],
  },
  {
    name: 'claim-runs-out-at-once',
    mistake: 'A claim in Redis does not last as long as its request.',
    invariants: ['fork-denied', 'fork-seen', 'same-request-same-answer'],
    edits: [
      {
        file: answerScripts,
        find: "string.format('%.0f', now + ARGV[3])",
        replace: "string.format('%.0f', now)",
      },
    ],
  },
  {
    name: 'used-state-not-marked',
    mistake: 'Redis forgets that a state was used as soon as another request comes with it.',
    invariants: ['fork-denied', 'fork-seen'],
    edits: [
      { file: answerScripts, find: "redis.call('HSET', KEYS[1], 'used', '1')\n", replace: '' },
    ],
  },
  {
    name: 'mark-forgotten-on-eviction',
    mistake: 'The marks of used states go with the answers that have no room.',
    invariants: ['fork-denied', 'fork-seen'],
    edits: [
      {
        file: memory,
        find: 'this.#maxSize = Math.floor(maxBytes / 4 / 2 / markBytes);',
        replace: 'this.#maxSize = Math.floor(maxBytes / 4 / 2 / markBytes / 10);',
      },
    ],
  },
  {
    name: 'same-requests-side-by-side',
    mistake: 'Two same requests of one process are under way at once.',
    invariants: ['same-request-same-answer', 'fork-denied', 'ticket-drawn-twice'],
    edits: [
      {
        file: 'src/session/shared-claims.ts',
        find: 'if (line) return wait(line, claimNow, signal);',
        replace: 'if (line && line.size > 1_000) return wait(line, claimNow, signal);',
      },
    ],
  },
  {
    name: 'answer-not-kept',
    mistake: 'An answer is not kept, so who repeats its request is answered anew.',
    invariants: ['same-request-same-answer'],
    edits: [
      {
        file: memory,
        find: 'if (key !== undefined) answers.add(key, made, holder);',
        replace: '',
      },
    ],
  },
  {
    name: 'answer-sent-before-it-is-kept',
    mistake: 'An answer is sent, and kept some milliseconds later.',
    invariants: ['same-request-same-answer'],
    edits: [
      {
        file: memory,
        find: 'if (key !== undefined) answers.add(key, made, holder);',
        replace: 'if (key !== undefined) setTimeout(() => answers.add(key, made, holder), 20);',
      },
    ],
  },
  {
    name: 'caller-left-out-of-identity',
    mistake: 'A request is told from others without who asks.',
    invariants: ['answer-of-another', 'same-request-same-answer'],
    edits: [
      {
        file: repeats,
        find: 'const who = [...identify(caller), nobody];',
        replace: 'const who = [nobody];',
      },
    ],
  },
  {
    name: 'pixels-left-out-of-identity',
    mistake: 'A request is told from others without how much is to be paid.',
    invariants: ['answer-of-another'],
    edits: [{ file: repeats, find: '    inPixels.toString(),\n', replace: '' }],
  },
  {
    name: 'manifest-left-out-of-identity',
    mistake: 'A request is told from others without what the segment credentials are for.',
    invariants: ['answer-of-another'],
    edits: [
      {
        file: repeats,
        find: '    manifestId,\n    app,\n    inPixels.to',
        replace: '    app,\n    inPixels.to',
      },
    ],
  },
  {
    name: 'nonces-by-the-books-alone',
    mistake:
      'A payment’s nonces follow those in its state, whoever else had tickets of these parameters.',
    invariants: ['ticket-drawn-twice'],
    edits: [
      {
        file: marks,
        find: 'const lastNonce = Math.max(mark?.last ?? 0, after);',
        replace: 'const lastNonce = after;',
      },
    ],
  },
  {
    name: 'redis-nonces-by-the-books-alone',
    mistake: 'Redis hands out the nonces that follow those in the state.',
    invariants: ['ticket-drawn-twice'],
    edits: [
      {
        file: answerScripts,
        find: "local last = math.max(tonumber(known or '0'), tonumber(ARGV[6]))",
        replace: 'local last = tonumber(ARGV[6])',
      },
    ],
  },
  {
    name: 'nonces-back-under-others',
    mistake: 'Nonces are given back although others were handed out after them.',
    invariants: ['ticket-drawn-twice'],
    edits: [
      {
        file: marks,
        find: 'if (mark?.last !== taken.lastNonce + count) return;',
        replace: 'if (!mark) return;',
      },
    ],
  },
  {
    name: 'redis-nonces-back-under-others',
    mistake: 'Redis takes nonces back although others were handed out after them.',
    invariants: ['ticket-drawn-twice'],
    edits: [
      {
        file: answerScripts,
        find: "if redis.call('GET', KEYS[1]) ~= last + count .. ' ' .. ARGV[5] then return 0 end",
        replace: '',
      },
    ],
  },
  {
    name: 'nonces-back-after-failure',
    mistake: 'A payment gives its nonces back although the key was asked for their tickets.',
    invariants: ['ticket-drawn-twice'],
    edits: [{ file: payment, find: "      nonces = 'used';\n", replace: '' }],
  },
  {
    name: 'mark-after-the-signature',
    mistake: 'Nonces are marked as used when the answer is there, not when they are handed out.',
    invariants: ['ticket-drawn-twice'],
    edits: [
      {
        file: memory,
        find: 'const nonces = demand && nonceMarks.take(demand);',
        replace:
          "const nonces = demand && ({ kind: 'taken', lastNonce: Math.max(nonceMarks.last(demand.ticketSession), demand.after), isFirst: false } as const);",
      },
      {
        file: memory,
        find: '      remember(made) {\n',
        replace: '      remember(made) {\n        if (demand) nonceMarks.take(demand);\n',
      },
    ],
  },
  {
    name: 'mark-runs-out-too-soon',
    mistake: 'It is remembered for some seconds which nonces were handed out.',
    invariants: ['ticket-drawn-twice'],
    edits: [
      {
        file: 'src/payments/ticket-nonces.ts',
        find: 'const shortestLifetimeMs = 600_000n;',
        replace: 'const shortestLifetimeMs = 5_000n;',
      },
      {
        file: 'src/payments/ticket-nonces.ts',
        find: 'const blockMs = 12_000n;',
        replace: 'const blockMs = 12n;',
      },
    ],
  },
  {
    name: 'answers-by-wall-clock',
    mistake: 'Answers are kept by the wall clock, so whoever sets that forward has them forgotten.',
    invariants: ['same-request-same-answer'],
    edits: [
      {
        file: memory,
        find: 'new KeptAnswers({ ...options, maxBytes',
        replace: 'new KeptAnswers({ ...options, nowMs: () => Date.now(), maxBytes',
      },
    ],
  },
  {
    name: 'nonce-marks-by-wall-clock',
    mistake:
      'Nonces are remembered by the wall clock, so whoever sets that forward has them handed out again.',
    invariants: ['ticket-drawn-twice'],
    edits: [
      {
        file: memory,
        find: 'new NonceMarks(options)',
        replace: 'new NonceMarks({ ...options, nowMs: () => Date.now() })',
      },
    ],
  },
  // the session's books
  {
    name: 'sequence-not-advanced',
    mistake: 'A state has the number of the one before it.',
    invariants: ['session-books'],
    edits: [
      {
        file: 'src/session/restore.ts',
        find: 'sequenceNumber: books.sequenceNumber + 1n',
        replace: 'sequenceNumber: books.sequenceNumber',
      },
    ],
  },
  {
    name: 'fee-forgotten',
    mistake: 'The fee of a payment is not taken off its session’s credit.',
    invariants: ['session-books'],
    edits: [
      {
        file: 'src/pm/quote.ts',
        find: 'balance: subtract(add(session.balance, scale(ev, ticketCount)), fee),',
        replace: 'balance: add(session.balance, scale(ev, ticketCount)),',
      },
    ],
  },
  {
    name: 'nonce-skipped',
    mistake: 'A payment’s second ticket skips a nonce.',
    invariants: ['session-books', 'ticket-drawn-twice'],
    edits: [
      {
        file: 'src/pm/tickets.ts',
        find: 'senderNonce: lastNonce + 1 + index,',
        replace: 'senderNonce: lastNonce + 1 + 2 * index,',
      },
    ],
  },
  {
    name: 'spending-not-carried',
    mistake: 'A state tells only what its last payment has spent.',
    invariants: ['session-books'],
    edits: [
      {
        file: 'src/pm/session-state.ts',
        find: 'spentEv: (session.spentEv ?? 0n) + ev,',
        replace: 'spentEv: ev,',
      },
    ],
  },
  {
    name: 'price-by-the-quote',
    mistake:
      'A session is billed at what its orchestrator asks for now, not at the price that it began with.',
    invariants: ['session-books'],
    edits: [
      {
        file: payment,
        find: "{ ...session.books, type: type ?? '' }",
        replace: "{ ...session.books, type: type ?? '', initialPrice: orchestrator.price }",
      },
    ],
  },
  {
    name: 'time-goes-back-in-books',
    mistake: 'A session’s last payment is when the clock says, also when that was set back.',
    invariants: ['session-books'],
    edits: [
      {
        file: 'src/pm/session-state.ts',
        find: "const lastUpdate = billingRule === 'keep-one-ticket' && before > now ? before : now;",
        replace: 'const lastUpdate = now;',
      },
    ],
  },
  // audit
  {
    name: 'audit-after-answer',
    mistake: 'Signatures leave the gate before their record is on disk.',
    invariants: ['signature-not-logged'],
    edits: [
      {
        file: 'src/keys/gate.ts',
        find: 'await record.signed(performance.now() - startedAt, options.whole?.event);',
        replace:
          'record.signed(performance.now() - startedAt, options.whole?.event).catch(() => undefined);',
      },
    ],
  },
  {
    name: 'record-of-intent-not-awaited',
    mistake: 'The key is called while its record still waits to be written.',
    invariants: ['no-signature-without-allow'],
    edits: [
      {
        file: 'src/payments/audit-records.ts',
        find: "      await log.write({\n        kind: 'key-use',",
        replace: "      void log.write({\n        kind: 'key-use',",
      },
    ],
  },
  {
    name: 'sync-left-out',
    mistake: 'A record counts as durable once it is written.',
    invariants: ['signature-not-logged'],
    edits: [
      {
        file: 'src/audit/chain.ts',
        find: '    await synced.datasync();\n',
        replace: '',
      },
    ],
  },
  {
    name: 'head-not-advanced',
    mistake: 'Records follow the one that the log began with, not the one before them.',
    invariants: ['log-whole', 'starts-again'],
    edits: [{ file: 'src/audit/chain.ts', find: '      head = newHead;\n', replace: '' }],
  },
  {
    name: 'next-file-not-synced',
    mistake: 'The next file begins while the end of the one before is not on disk.',
    invariants: ['signature-not-logged', 'starts-again', 'log-whole'],
    edits: [
      {
        file: 'src/audit/chain.ts',
        find: '    await syncing;\n    await sync();\n    const next',
        replace: '    const next',
      },
    ],
  },
  {
    name: 'torn-end-not-cut',
    mistake: 'The end of a record that was half written is not cut off.',
    invariants: ['starts-again', 'log-whole'],
    edits: [{ file: 'src/audit/chain.ts', find: '  await handle.truncate(end);\n', replace: '' }],
  },
  {
    name: 'torn-end-taken-for-whole',
    mistake: 'A record that is half on disk is taken for whole, and the next one follows it.',
    invariants: ['log-whole', 'starts-again'],
    edits: [
      { file: 'src/audit/chain.ts', find: '  await handle.truncate(end);\n', replace: '' },
      {
        file: 'src/audit/chain.ts',
        find: 'return { end, head, cutBytes: size - end };',
        replace: 'return { end: size, head, cutBytes: 0 };',
      },
    ],
  },
  {
    name: 'short-write-taken-for-whole',
    mistake: 'A write is taken to have written all of its bytes.',
    invariants: ['no-signature-without-allow', 'signature-not-logged', 'log-whole'],
    edits: [
      {
        file: 'src/audit/files.ts',
        find: '    written += (await handle.write(bytes, written, undefined, null)).bytesWritten;',
        replace:
          '    await handle.write(bytes, written, undefined, null);\n    written = bytes.length;',
      },
    ],
  },
  {
    name: 'torn-note-taken-for-whole',
    mistake: 'The note of how far the log has come is believed, half written or not.',
    invariants: ['starts-again'],
    edits: [
      {
        file: 'src/audit/noted-end.ts',
        find: 'return isWhole ? parse(text) : undefined;',
        replace: 'return parse(text);',
      },
    ],
  },
  // the store
  {
    name: 'wait-left-out',
    mistake: 'A write counts as acknowledged whatever Redis says of its replicas.',
    invariants: [
      'window-exceeded',
      'reservations',
      'ticket-drawn-twice',
      'same-request-same-answer',
      'fork-seen',
      'fork-denied',
      'session-limit-exceeded',
    ],
    edits: [
      {
        file: 'src/store/acknowledged-writes.ts',
        find: 'else if (problem === undefined) waiting?.resolve',
        replace: "else if (problem !== '') waiting?.resolve",
      },
    ],
  },
];
