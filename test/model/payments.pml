/*
 * How instances of the signer share one Redis: claims, marks of nonces, reservations and answers, while instances crash, replies
 * get lost, scripts run late, claims and answers expire and Redis fails over to its replica.
 *
 * Each attempt is one request at one instance, and goes the way of src/payments/generate-live-payment.ts with what it takes of
 * src/session/shared-claims.ts, src/session/redis-scripts.ts and src/policy/limits/redis/redis-scripts.ts. All requests have the same
 * session state; attempts with the same number in `request` repeat each other. Each takes one ticket, and the window one unit.
 *
 * Bounds: N attempts (CAST says who asks what where), LIMIT units, NONCES nonces, FAULTS faults in all: each lost reply, script
 * that runs late, abort, crash, fail-over, expired claim and expired answer is one.
 *
 * PLANT_… makes one deliberate mistake, which an assertion must find.
 *
 * Lines that begin with `step` are what test/model/replay.ts does with the code.
 */

#ifndef N
#define N 3
#endif
#ifndef CAST
#define CAST 0
#endif
#ifndef LIMIT
#define LIMIT 2
#endif
#ifndef NONCES
#define NONCES 3
#endif
#ifndef FAULTS
#define FAULTS 2
#endif

/* A run that is drawn would have all its faults at its beginning: DRAWN spreads them. */
#ifdef DRAWN
bit isRare;
#define mayFail (faults < FAULTS && isRare)
#else
#define mayFail (faults < FAULTS)
#endif

#define INSTANCES 2
#define REQUESTS 2
#define NOBODY 99

/* 0: a request, its repeat at the other instance and at the same one; 1: with a fork at the other; 2: with a fork at the same; 3: two that fork */
#if CAST == 0
#define instance(p) (p == 1)
#define request(p) (p == 3)
#elif CAST == 1
#define instance(p) (p == 1 || p == 2)
#define request(p) (p == 2)
#elif CAST == 2
#define instance(p) (p == 1 || p == 3)
#define request(p) (p == 2)
#else
#define instance(p) (p == 1)
#define request(p) (p == 1)
#endif

#define token(p) (p + 1)
#define lineOf(p) (instance(p) * REQUESTS + request(p))

mtype = { Claim, Reserve, Remember, Forget, GiveBack, Release };
mtype = { none, answered, pending, new, fork, usedUp, reserved, exceeded, own, earlier, done };

typedef Store {
  byte answer[REQUESTS];
  byte claim[REQUESTS];
  bit used;
  /* the mark of the ticket session: the highest nonce handed out, and whose it is; 0 when nothing is known */
  byte last;
  byte holder;
  byte spent;
  bit reservation[N]
};

/* What answers, and what a fail-over leaves. */
Store master, replica;

/* An attempt has begun; its instance has crashed since; it came to an end. */
bit begun[N], dead[N], over[N];
/* A script of it has run, and its reply is on the way; a fail-over has cut it off. */
bit ran[N], cut[N];
mtype reply[N] = none;
byte value[N];

/* What was sent, and may run at any time or never. */
bit lateClaim[N], lateReserve[N], lateRemember[N], lateForget[N], lateGiveBack[N], lateRelease[N];

/* The nonce before the attempt's own, and whether nothing was known of the ticket session. */
byte lastNonce[N];
bit isFirst[N];
/* Units that a release gives back. */
bit units[N];

/* The key: 0 not asked, 1 waits for its turn, 2 called, 3 has signed. */
byte key[N];
bit logged[N];

/* Attempts of one process that repeat each other wait in a line; somebody leads it. */
bit isLed[INSTANCES * REQUESTS];
chan line[INSTANCES * REQUESTS] = [N] of { byte };
#define LEAD 1
#define FAIL 2
#define ANSWER 10
byte told[N];

byte faults;

/* What must hold is told by these; the protocol looks at none of them. */
bit isSigned[NONCES + 2];
byte signatures, calls, unsure;
bit isUnsure[N], isHolding[N], hasLapsed[N], isGone[REQUESTS];
byte generation[REQUESTS], generationOf[N], given[REQUESTS * 2];

hidden byte k;
hidden byte who;

inline copy(to, from) {
  for (k : 0 .. REQUESTS - 1) {
    to.answer[k] = from.answer[k];
    to.claim[k] = from.claim[k]
  }
  to.used = from.used;
  to.last = from.last;
  to.holder = from.holder;
  to.spent = from.spent;
  for (k : 0 .. N - 1) { to.reservation[k] = from.reservation[k] }
  k = 0
}

inline doubt(p) {
  if
  :: !isUnsure[p] -> isUnsure[p] = 1; unsure++
  :: else
  fi
}

#define isPending(p) (master.answer[request(p)] == 0 && master.claim[request(p)] != 0 && master.claim[request(p)] != token(p))

inline runClaim(p) {
  if
  :: master.answer[request(p)] != 0 -> reply[p] = answered; value[p] = master.answer[request(p)]
  :: isPending(p) -> reply[p] = pending
  :: else ->
    reply[p] = (master.used || master.claim[1 - request(p)] != 0 -> fork : new);
    master.claim[request(p)] = token(p);
    lastNonce[p] = master.last;
    if
    :: master.last >= NONCES -> reply[p] = usedUp
    :: else ->
      isFirst[p] = (master.holder == 0);
      master.last = master.last + 1;
      master.holder = token(p)
    fi
  fi
}

inline runReserve(p) {
  if
  :: master.spent < LIMIT -> master.spent++; master.reservation[p] = 1; reply[p] = reserved
  :: else -> reply[p] = exceeded
  fi
}

inline runRelease(p) {
  reply[p] = done;
  if
#ifdef PLANT_RELEASE_WITHOUT_RESERVATION
  :: master.spent > 0 -> master.spent = master.spent - units[p]
#else
  :: master.reservation[p] -> master.reservation[p] = 0; master.spent = master.spent - units[p]
#endif
  :: else
  fi
}

inline runRemember(p) {
  if
  :: master.answer[request(p)] != 0 -> reply[p] = earlier; value[p] = master.answer[request(p)]
  :: else ->
    master.answer[request(p)] = token(p);
    master.claim[request(p)] = 0;
    /* whoever has a claim to an answered request has none */
    for (k : 0 .. N - 1) {
      if
      :: request(k) == request(p) -> isHolding[k] = 0; hasLapsed[k] = 1
      :: else
      fi
    }
    k = 0;
    master.used = 1;
    generationOf[p] = generation[request(p)];
    reply[p] = own;
    value[p] = token(p)
  fi
}

inline runForget(p) {
  reply[p] = done;
  if
#ifdef PLANT_FORGET_WITHOUT_TOKEN
  :: master.claim[request(p)] != 0 -> master.claim[request(p)] = 0
#else
  :: master.claim[request(p)] == token(p) -> master.claim[request(p)] = 0
#endif
  :: else
  fi
}

inline runGiveBack(p) {
  reply[p] = done;
  if
  :: master.holder == token(p) && master.last == lastNonce[p] + 1 ->
    master.last = lastNonce[p];
    master.holder = (isFirst[p] -> 0 : NOBODY)
  :: else
  fi
}

/* What the code does with a reply that comes after it has given up: a claim is forgotten, a reservation given back. */
#define lateOfClaim(p) lateForget[p] = 1
#define lateOfReserve(p) if :: reply[p] == reserved -> units[p] = 1; lateRelease[p] = 1 :: else fi
#define lateOfNothing(p) skip

#ifdef PLANT_NOT_ACKNOWLEDGED
#define acknowledge skip
#else
#define acknowledge copy(replica, master)
#endif

/*
 * One script: it runs, and its reply comes once the replica has all that it saw; or it is given up, when it has run, or before.
 * `isOk` tells which.
 */
#define SCRIPT(p, NAME, RUN, LATE, AFTERWARDS) \
  if \
  :: atomic { RUN(p); ran[p] = 1; printf("step run %d %e %e %d %d %d %d\n", p, NAME, reply[p], value[p], lastNonce[p], master.last, master.spent) }; \
    if \
    :: atomic { !cut[p] -> acknowledge; ran[p] = 0; isOk = 1; printf("step ack %d %e\n", p, NAME) } \
    :: atomic { (mayFail || cut[p]) -> \
        if :: !cut[p] -> faults++ :: else fi; \
        ran[p] = 0; cut[p] = 0; isOk = 0; doubt(p); \
        if \
        :: LATE(p); printf("step lose %d %e late\n", p, NAME) \
        :: printf("step lose %d %e silent\n", p, NAME) \
        fi \
      } \
    fi \
  :: atomic { mayFail -> faults++; AFTERWARDS[p] = 1; isOk = 0; doubt(p); printf("step giveup %d %e\n", p, NAME) } \
  fi

/* A script that nobody waits for any more. */
#define STRAY(p, NAME, RUN, LATE, FLAG) \
  :: atomic { FLAG[p] -> \
      FLAG[p] = 0; \
      was = reply[p]; wasValue = value[p]; wasNonce = lastNonce[p]; wasFirst = isFirst[p]; \
      RUN(p); \
      printf("step stray %d %e %e %d %d %d %d\n", p, NAME, reply[p], value[p], lastNonce[p], master.last, master.spent); \
      if \
      :: LATE(p); printf("step late %d %e\n", p, NAME) \
      :: printf("step silent %d %e\n", p, NAME) \
      fi; \
      reply[p] = was; value[p] = wasValue; lastNonce[p] = wasNonce; isFirst[p] = wasFirst; \
      was = none; wasValue = 0; wasNonce = 0; wasFirst = 0 \
    }

inline tellAll(p, what) {
  do
  :: len(line[lineOf(p)]) > 0 -> line[lineOf(p)] ? who; told[who] = what
  :: else -> break
  od;
  isLed[lineOf(p)] = 0;
  who = 0
}

inline passOn(p) {
  if
  :: len(line[lineOf(p)]) > 0 -> line[lineOf(p)] ? who; told[who] = LEAD; printf("step leads %d\n", who)
  :: else -> isLed[lineOf(p)] = 0
  fi;
  who = 0
}

inline finish(p) { over[p] = 1; isHolding[p] = 0; reply[p] = none; value[p] = 0 }

/* An answer leaves. */
inline send(p, by) {
  assert(logged[by - 1]);
  assert(replica.answer[request(p)] == by || isGone[request(p)]);
  assert(given[request(p) * 2 + generationOf[by - 1]] == 0 || given[request(p) * 2 + generationOf[by - 1]] == by);
  given[request(p) * 2 + generationOf[by - 1]] = by;
  printf("step sent %d %d\n", p, by)
}

proctype attempt(byte p) {
  bit isOk, hasAsked;
  {
    atomic {
      begun[p] = 1;
      if
      :: isLed[lineOf(p)] -> line[lineOf(p)] ! p; printf("step waits %d\n", p)
      :: else -> isLed[lineOf(p)] = 1; told[p] = LEAD; printf("step begins %d\n", p)
      fi
    };
    if
    :: atomic { told[p] == LEAD -> told[p] = 0 }
    :: atomic { told[p] == FAIL -> told[p] = 0; printf("step failed %d\n", p); finish(p); goto ended }
    :: atomic { told[p] > ANSWER -> send(p, told[p] - ANSWER); told[p] = 0; finish(p); goto ended }
    :: atomic { told[p] == 0 && mayFail -> faults++; line[lineOf(p)] ?? eval(p); printf("step leaves %d\n", p); finish(p); goto ended }
    fi;

claiming:
    if
    :: !isPending(p)
    :: atomic { isPending(p) && mayFail ->
        faults++; printf("step aborts %d\n", p); passOn(p); finish(p); goto ended }
    fi;
    SCRIPT(p, Claim, runClaim, lateOfClaim, lateClaim);
    atomic {
      if
      :: !isOk -> printf("step failed %d\n", p); tellAll(p, FAIL); finish(p); goto ended
      :: isOk && reply[p] == answered -> send(p, value[p]); tellAll(p, ANSWER + value[p]); finish(p); goto ended
      :: isOk && reply[p] == pending -> goto claiming
      :: else ->
        for (k : 0 .. N - 1) { assert(hasLapsed[p] || k == p || request(k) != request(p) || !isHolding[k]) }
        k = 0;
        isHolding[p] = !hasLapsed[p];
        printf("step claimed %d %e %d\n", p, reply[p], lastNonce[p]);
        if
        :: reply[p] == usedUp -> goto forgetting
        :: else
        fi
      fi
    };

    SCRIPT(p, Reserve, runReserve, lateOfReserve, lateReserve);
    if
    :: atomic { !isOk -> printf("step unreserved %d failed\n", p); goto givingBack }
    :: atomic { isOk && reply[p] == exceeded -> printf("step unreserved %d exceeded\n", p); goto givingBack }
    :: atomic { isOk && reply[p] == reserved && mayFail ->
        faults++; units[p] = 1; lateRelease[p] = 1; doubt(p); printf("step unreserved %d aborted\n", p); goto givingBack }
    :: atomic { isOk && reply[p] == reserved -> printf("step reserved %d\n", p) }
    fi;

#ifdef PLANT_SENT_BEFORE_REMEMBERED
    given[request(p) * 2 + generation[request(p)]] = token(p);
#endif
    atomic { hasAsked = 1; key[p] = 1 };
    if
    :: atomic { key[p] == 1 && mayFail ->
        /* aborted before its turn */
        faults++;
        units[p] = 1;
        printf("step stopped %d 1\n", p);
#ifndef PLANT_RELEASED_BEFORE_ABORT
        key[p] = 0;
#endif
        goto releasing }
    :: atomic { key[p] == 2 && mayFail -> faults++; units[p] = 0; printf("step stopped %d 0\n", p); goto releasing }
    :: atomic { key[p] == 3 && mayFail -> faults++; units[p] = 0; printf("step stopped %d 0\n", p); goto releasing }
    :: atomic { key[p] == 3 ->
        printf("step made %d\n", p);
#ifndef PLANT_LOGGED_AFTER_ANSWER
        logged[p] = 1
#endif
      }
    fi;

    SCRIPT(p, Remember, runRemember, lateOfNothing, lateRemember);
    atomic {
      if
      :: isOk -> send(p, value[p]); tellAll(p, ANSWER + value[p]); finish(p); goto ended
      :: else -> goto forgetting
      fi
    };

releasing:
    SCRIPT(p, Release, runRelease, lateOfNothing, lateRelease);
givingBack:
    if
#ifdef PLANT_NONCES_BACK_AFTER_KEY
    :: true ->
#else
    :: !hasAsked ->
#endif
      SCRIPT(p, GiveBack, runGiveBack, lateOfNothing, lateGiveBack)
    :: hasAsked
    fi;
forgetting:
    isHolding[p] = 0;
    SCRIPT(p, Forget, runForget, lateOfNothing, lateForget);
    atomic { printf("step ended %d\n", p); passOn(p); finish(p) };
ended:
    skip
  } unless { dead[p] }
}

/* What goes on in the attempt's name whether its instance still runs or not: scripts that were sent, and calls of the key. */
proctype afield(byte p) {
  mtype was = none;
  byte wasValue, wasNonce;
  bit wasFirst;
end:
  do
  STRAY(p, Claim, runClaim, lateOfClaim, lateClaim)
  STRAY(p, Reserve, runReserve, lateOfReserve, lateReserve)
  STRAY(p, Remember, runRemember, lateOfNothing, lateRemember)
  STRAY(p, Forget, runForget, lateOfNothing, lateForget)
  STRAY(p, GiveBack, runGiveBack, lateOfNothing, lateGiveBack)
  STRAY(p, Release, runRelease, lateOfNothing, lateRelease)
  :: atomic { key[p] == 1 -> key[p] = 2; calls++ }
  :: atomic { key[p] == 2 ->
      key[p] = 3;
      assert(!isSigned[lastNonce[p] + 1]);
      isSigned[lastNonce[p] + 1] = 1;
      signatures++;
      assert(signatures <= master.spent);
      printf("step signed %d %d\n", p, lastNonce[p] + 1)
    }
  od
}

#define isAtWork(p, i) (instance(p) == i && begun[p] && !over[p])
#define CRASH(i) \
  :: atomic { mayFail && (isAtWork(0, i) || isAtWork(1, i) || isAtWork(N - 2, i) || isAtWork(N - 1, i)) -> \
      faults++; \
      for (k : 0 .. N - 1) { \
        if \
        :: isAtWork(k, i) -> dead[k] = 1; ran[k] = 0; cut[k] = 0; told[k] = 0; doubt(k); finish(k); key[k] = (key[k] == 1 -> 0 : key[k]) \
        :: else \
        fi \
      } \
      for (k : 0 .. REQUESTS - 1) { \
        do \
        :: len(line[i * REQUESTS + k]) > 0 -> line[i * REQUESTS + k] ? who \
        :: else -> break \
        od; \
        isLed[i * REQUESTS + k] = 0 \
      } \
      k = 0; who = 0; \
      printf("step crash %d\n", i) \
    }

#define EXPIRE(r) \
  :: atomic { master.claim[r] != 0 && (mayFail || over[master.claim[r] - 1]) -> \
      if :: over[master.claim[r] - 1] :: else -> faults++ fi; \
      isHolding[master.claim[r] - 1] = 0; \
      hasLapsed[master.claim[r] - 1] = 1; \
      if :: replica.claim[r] == master.claim[r] -> replica.claim[r] = 0 :: else fi; \
      master.claim[r] = 0; \
      printf("step expire claim %d\n", r) \
    } \
  :: atomic { master.answer[r] != 0 && replica.answer[r] == master.answer[r] && generation[r] == 0 && mayFail -> \
      faults++; \
      isGone[r] = 1; \
      generation[r] = 1; \
      master.answer[r] = 0; \
      replica.answer[r] = 0; \
      printf("step expire answer %d\n", r) \
    }

#define allOver (over[0] && over[1] && over[N - 1] && over[N - 2])

active proctype world() {
  atomic {
    for (k : 0 .. N - 1) { run attempt(k); run afield(k) }
    k = 0
  };
end:
  do
  CRASH(0)
  CRASH(1)
  EXPIRE(0)
#if CAST > 0
  EXPIRE(1)
#endif
  :: atomic { mayFail ->
      faults++;
      copy(master, replica);
      for (k : 0 .. N - 1) { cut[k] = ran[k] }
      k = 0;
      assert(signatures <= master.spent);
      printf("step failover\n")
    }
  :: atomic { allOver ->
      assert(signatures <= master.spent);
      assert(master.spent <= LIMIT);
      assert(master.spent <= calls + unsure);
      break
    }
  od
}

#ifdef DRAWN
active proctype luck() {
  do
  :: allOver -> break
  :: !allOver -> isRare = 1
  :: !allOver -> isRare = 0
  :: !allOver -> isRare = 0
  :: !allOver -> isRare = 0
  :: !allOver -> isRare = 0
  :: !allOver -> isRare = 0
  od
}
#endif
