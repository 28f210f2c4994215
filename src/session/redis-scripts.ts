// KEYS of claims: the hash of a state's uses, and the answer to one request. In the hash, `used` says that there was an answer;
// for each request under way a field says who has the claim, and until when in ms of Redis' own time. KEYS of nonces: the highest
// nonce handed out of a ticket session with the token of its owner, and when each of the holder's ticket sessions is forgotten.

/** How many ticket sessions of one holder are remembered. */
const maxMarks = 500_000;

/** Bytes that an answer takes beyond its text, with its names and its places in the lists of the room. */
const answerBytes = 1_000;
/** How many expired answers each new answer removes: more than are added, so all are removed in time. */
const sweptAnswers = 8;

const tellTime = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
`;

/**
 * ARGV[2] is the token of the request that takes them; ARGV from 4 on: ticket session, count, the nonce that they come after, the
 * limit, and the lifetime in ms. Returns the parts of `NonceOutcome`: the kind, the nonce before those that were taken, and 1
 * when nothing was known of the ticket session.
 */
const takeNonces = `
local function take(mark, holder)
  local member, count, lifetime = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[8])
  local known = string.match(redis.call('GET', mark) or '', '^%d+')
  local last = math.max(tonumber(known or '0'), tonumber(ARGV[6]))
  if last >= tonumber(ARGV[7]) then return 'used-up', last, 0 end
  if known then
    lifetime = math.max(lifetime, redis.call('PTTL', mark))
  elseif redis.call('ZCOUNT', holder, now, '+inf') >= ${maxMarks} then
    return 'no-room', last, 0
  end
  -- first what a full Redis refuses: after another write it would let it pass
  redis.call('SET', mark, last + count .. ' ' .. ARGV[2], 'PX', lifetime)
  if known then
    redis.call('ZADD', holder, 'XX', now + lifetime, member)
  else
    redis.call('ZADD', holder, now + lifetime, member)
  end
  redis.call('ZREMRANGEBYSCORE', holder, '-inf', now)
  if redis.call('PTTL', holder) < lifetime then redis.call('PEXPIRE', holder, lifetime) end
  return 'taken', last, known and 0 or 1
end
`;

/**
 * KEYS: uses, answer, and those of nonces. ARGV: the request, the claim's token, how long the claim lasts in ms, and the nonces
 * that are asked for. Returns the parts of `Claim`: answered with the answer, or new or fork with the nonces; or pending while
 * another request has the claim.
 */
export const claimScript = `${tellTime}${takeNonces}
local answer = redis.call('GET', KEYS[2])
if answer then return {'answered', answer} end
local kind = 'new'
local uses = redis.call('HGETALL', KEYS[1])
for place = 1, #uses, 2 do
  local token, deadline = string.match(uses[place + 1], '^(%S+) (%d+)$')
  if uses[place] == 'used' then
    kind = 'fork'
  elseif token ~= ARGV[2] and tonumber(deadline) > now then
    if uses[place] == ARGV[1] then return {'pending'} end
    kind = 'fork'
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. string.format('%.0f', now + ARGV[3]))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
if KEYS[3] then return {kind, take(KEYS[3], KEYS[4])} end
return {kind}
`;

/** For a request that can't be told from another. KEYS: those of nonces. ARGV: as for a claim. Returns as it does. */
export const takeNoncesScript = `${tellTime}${takeNonces}
return {'new', take(KEYS[1], KEYS[2])}
`;

/**
 * Gives nonces back. KEYS: those of nonces. ARGV: the ticket session, the nonce before those that were taken, their number, 1
 * when nothing was known of the ticket session before, and the token of the request that took them. They are unused again, unless
 * more were handed out since, or the same ones a second time after a fail-over that has lost them.
 */
export const giveBackScript = `
local last, count = tonumber(ARGV[2]), tonumber(ARGV[3])
if redis.call('GET', KEYS[1]) ~= last + count .. ' ' .. ARGV[5] then return 0 end
if ARGV[4] == '1' then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
else
  redis.call('SET', KEYS[1], last, 'PX', math.max(1, redis.call('PTTL', KEYS[1])))
end
return 1
`;

/**
 * The room of all answers. KEYS from 3 on: all answers by their expiry, what each tenant holds, and what all hold, in bytes.
 * Under further names, which begin with ARGV[5], it is kept what each principal of a tenant holds, and its answers by their
 * expiry. When there is no room, the tenant that holds most gives way, and of its principals the one that holds most: its oldest
 * answer is dropped.
 */
const shareRoom = `
local prefix, tenant, principal = ARGV[5], ARGV[6], ARGV[7]
local keptMs = 4 * ARGV[3]

local function principalsOf(ofTenant)
  return prefix .. 'answers-of-tenant:' .. ofTenant
end

local function answersOf(ofTenant, ofPrincipal)
  return prefix .. 'answers-of:' .. ofTenant .. ':' .. ofPrincipal
end

local function count(key, member, bytes)
  if tonumber(redis.call('ZINCRBY', key, bytes, member)) <= 0 then redis.call('ZREM', key, member) end
end

local function countAll(ofTenant, ofPrincipal, bytes)
  redis.call('INCRBY', KEYS[5], bytes)
  count(KEYS[4], ofTenant, bytes)
  count(principalsOf(ofTenant), ofPrincipal, bytes)
end

local function drop(entry)
  local ofTenant, ofPrincipal, bytes, name = string.match(entry, '^(%S*) (%S*) (%d+) (%S+)$')
  redis.call('ZREM', KEYS[3], entry)
  redis.call('ZREM', answersOf(ofTenant, ofPrincipal), entry)
  countAll(ofTenant, ofPrincipal, -bytes)
  return prefix .. 'answer:' .. name
end

local function oldestOfLargest()
  local ofTenant = redis.call('ZREVRANGE', KEYS[4], 0, 0)[1] or ''
  local ofPrincipal = redis.call('ZREVRANGE', principalsOf(ofTenant), 0, 0)[1] or ''
  return redis.call('ZRANGE', answersOf(ofTenant, ofPrincipal), 0, 0)[1] or redis.call('ZRANGE', KEYS[3], 0, 0)[1]
end

local function keep(name, answer)
  local bytes = #answer + ${answerBytes}
  -- to the microsecond, so that the oldest of one millisecond is known
  local expiresAt = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000 + ARGV[3]
  local entry = tenant .. ' ' .. principal .. ' ' .. bytes .. ' ' .. name
  for _, expired in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, ${sweptAnswers})) do
    drop(expired)
  end
  if redis.call('ZADD', KEYS[3], expiresAt, entry) == 1 then countAll(tenant, principal, bytes) end
  redis.call('ZADD', answersOf(tenant, principal), expiresAt, entry)
  while tonumber(redis.call('GET', KEYS[5])) > tonumber(ARGV[4]) do
    local oldest = oldestOfLargest()
    if not oldest then break end
    redis.call('DEL', drop(oldest))
  end
  for _, key in ipairs({KEYS[3], KEYS[4], KEYS[5], principalsOf(tenant), answersOf(tenant, principal)}) do
    redis.call('PEXPIRE', key, keptMs)
  end
end
`;

/**
 * KEYS: uses, answer, and those of the room. ARGV: the request, its answer, how long to keep it in ms, how many bytes all answers
 * may take, the prefix of names, the tenant, the principal, and the answer's name. The first answer stays, whoever has the claim:
 * returns it when there is one, and nothing otherwise. It is remembered for twice as long that the state was used.
 */
export const rememberScript = `${tellTime}${shareRoom}
local earlier = redis.call('GET', KEYS[2])
if earlier then return {earlier} end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], 'used', '1')
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[3])
keep(ARGV[8], ARGV[2])
return {}
`;

/** ARGV: the request, the claim's token. */
export const forgetScript = `
local value = redis.call('HGET', KEYS[1], ARGV[1])
if value and string.match(value, '^%S+') == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1
`;

/** KEYS: a name of its own. Tells whether Redis takes writes. */
export const healthScript = `redis.call('SET', KEYS[1], '1', 'PX', 60000) return 1`;
