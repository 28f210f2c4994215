// KEYS of all: the hash of a state's uses, and the answer to one request. In the hash, `used` tells that there was an answer,
// and a field for each request under way who has the claim, and until when in ms of Redis' own time.

/**
 * ARGV: the request, the claim's token, how long the claim lasts in ms. Returns what `Claim` tells: answered with the answer,
 * new, or fork; or pending while somebody else has the claim.
 */
export const claimScript = `
local answer = redis.call('GET', KEYS[2])
if answer then return {'answered', answer} end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
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
return {kind}
`;

/**
 * ARGV: the request, its answer, how long to keep it in ms. The first answer stays, whoever has the claim: returns it when
 * there is one, else nothing. That the state was used is known for twice as long.
 */
export const rememberScript = `
local earlier = redis.call('GET', KEYS[2])
if earlier then return {earlier} end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], 'used', '1')
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[3])
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
