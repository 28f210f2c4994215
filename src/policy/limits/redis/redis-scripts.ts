import { slotsPerWindow } from '../windows.ts';

// Lua's numbers are doubles. An amount is therefore two of them, its digits in base 10^15, high and low; so sums stay exact up to
// 9 * 10^30.

/** Digits of the lower number of an amount. */
export const lowDigits = 15n;

/**
 * Each counter is one hash: `slot`, the newest slot; `total`, the sum of all slots that count; and what was spent in each slot,
 * under the slot's number. An amount list is six numbers: high and low of ev, tickets and sessions. `now` is Redis' own time. A
 * counter whose newest slot lies ahead of `now` keeps it, so that setting the clock back frees nothing.
 */
const common = `
local base = 1e15
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function write(number)
  return string.format('%.0f', number)
end

local function read(text)
  local amounts = {0, 0, 0, 0, 0, 0}
  local place = 1
  for number in string.gmatch(text or '', '%d+') do
    amounts[place] = tonumber(number)
    place = place + 1
  end
  return amounts
end

local function pack(amounts)
  local texts = {}
  for place = 1, 6 do texts[place] = write(amounts[place]) end
  return table.concat(texts, ' ')
end

-- sign: 1 or -1
local function add(a, b, sign)
  local sum = {}
  for place = 1, 5, 2 do
    local high = a[place] + sign * b[place]
    local low = a[place + 1] + sign * b[place + 1]
    if low >= base then
      high, low = high + 1, low - base
    elseif low < 0 then
      high, low = high - 1, low + base
    end
    sum[place], sum[place + 1] = high, low
  end
  return sum
end

-- the newest slot and the total as of now; what has run out is taken off
local function advance(key, windowMs)
  local slot = math.floor(now * ${slotsPerWindow} / windowMs)
  local known = redis.call('HMGET', key, 'slot', 'total')
  local total = read(known[2])
  if not known[1] then return slot, total end
  local newest = tonumber(known[1])
  if slot <= newest then return newest, total end
  local gone = {}
  for old = newest - ${slotsPerWindow}, math.min(newest, slot - ${slotsPerWindow + 1}) do
    local field = write(old)
    local spent = redis.call('HGET', key, field)
    if spent then
      total = add(total, read(spent), -1)
      gone[#gone + 1] = field
    end
  end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
  redis.call('HSET', key, 'slot', write(slot), 'total', pack(total))
  return slot, total
end
`;

/** For how long a reservation can be released, in ms: longer than a payment takes. */
const releasableMs = 60_000;

/**
 * KEYS: the reservation, the counters, then the session if it is counted. ARGV: the amount list; the number of counters, and for each its window
 * in ms, 1 when it is enforced, and high and low of its three limits, '' for none; for the session high and low of what its
 * state says it has spent, the ms to keep it, and for each limit 1 when it is enforced, and high and low. Returns 1, the slots
 * counted in, the observed counters and the session's observed limits; or 0, the counter and the limit that refuse, and in how
 * many ms all that refuse will have room; or 2, the session's limit that refuses, and what it has spent. All are numbered from
 * 0. A session is kept as high and low of its expected value; that there is such a reservation, under its own key.
 */
export const reserveScript = `${common}
local spend = {}
for place = 1, 6 do spend[place] = tonumber(ARGV[place]) end

-- the place of the first limit that the total goes over; first: the place of the counter's terms in ARGV
local function exceeded(total, first)
  for place = 1, 5, 2 do
    local high, low = tonumber(ARGV[first + 1 + place]), tonumber(ARGV[first + 2 + place])
    local isSpent = spend[place] > 0 or spend[place + 1] > 0
    if high and isSpent and (total[place] > high or (total[place] == high and total[place + 1] > low)) then
      return place
    end
  end
end

-- in how many ms the total will be within the counter's limits again
local function roomAfter(key, total, slot, first)
  local windowMs, freedBy = tonumber(ARGV[first]), slot
  for old = slot - ${slotsPerWindow}, slot do
    local spent = redis.call('HGET', key, write(old))
    if spent then
      total, freedBy = add(total, read(spent), -1), old
      if not exceeded(total, first) then break end
    end
  end
  return math.max(1, math.ceil((freedBy + ${slotsPerWindow + 1}) * windowMs / ${slotsPerWindow}) - now)
end

local counters = tonumber(ARGV[7])
local session, sessionObserved, sessionFirst = KEYS[counters + 2], {}, 8 + counters * 8
local sessionTotal
if session then
  local spent = read(ARGV[sessionFirst] .. ' ' .. ARGV[sessionFirst + 1])
  local known = read(redis.call('GET', session))
  if known[1] > spent[1] or (known[1] == spent[1] and known[2] > spent[2]) then spent = known end
  sessionTotal = add(spent, {spend[1], spend[2], 0, 0, 0, 0}, 1)
  if sessionTotal[1] >= 9e15 then return redis.error_reply('COUNTERFULL ' .. session) end
  for place = sessionFirst + 3, #ARGV, 3 do
    local high, low = tonumber(ARGV[place + 1]), tonumber(ARGV[place + 2])
    if sessionTotal[1] > high or (sessionTotal[1] == high and sessionTotal[2] > low) then
      local limit = (place - sessionFirst - 3) / 3
      if ARGV[place] == '1' then return {2, limit, write(spent[1]) .. ' ' .. write(spent[2])} end
      sessionObserved[#sessionObserved + 1] = limit
    end
  end
end

local slots, totals, observed, refusal = {}, {}, {}, nil
for index = 1, counters do
  local key = KEYS[index + 1]
  local first = 8 + (index - 1) * 8
  local slot, total = advance(key, tonumber(ARGV[first]))
  total = add(total, spend, 1)
  slots[index], totals[index] = slot, total
  for place = 1, 5, 2 do
    if total[place] >= 9e15 then return redis.error_reply('COUNTERFULL ' .. key) end
  end
  local place = exceeded(total, first)
  if place and ARGV[first + 1] == '1' then
    local room = roomAfter(key, total, slot, first)
    if refusal then refusal[4] = math.max(refusal[4], room)
    else refusal = {0, index - 1, (place - 1) / 2, room} end
  elseif place then
    observed[#observed + 1] = index - 1
  end
end
if refusal then return refusal end

redis.call('SET', KEYS[1], '1', 'PX', ${releasableMs})
if session then
  redis.call('SET', session, write(sessionTotal[1]) .. ' ' .. write(sessionTotal[2]), 'PX', ARGV[sessionFirst + 2])
end
for index = 1, counters do
  local key = KEYS[index + 1]
  local field = write(slots[index])
  local spent = add(read(redis.call('HGET', key, field)), spend, 1)
  redis.call('HSET', key, 'slot', field, 'total', pack(totals[index]), field, pack(spent))
  local windowMs = tonumber(ARGV[8 + (index - 1) * 8])
  redis.call('PEXPIRE', key, write(math.ceil(windowMs * ${slotsPerWindow + 2} / ${slotsPerWindow}) + 1000))
end
for index, slot in ipairs(slots) do slots[index] = write(slot) end
return {1, slots, observed, sessionObserved}
`;

/**
 * KEYS: the reservation, the counters, then the session if it was counted. ARGV: the amount list, then the slot of each counter.
 * What does not count any more is left alone; so is everything when the server knows nothing of the reservation, as after a
 * fail-over that has lost it: then nothing was added that could be taken off.
 */
export const releaseScript = `${common}
if redis.call('DEL', KEYS[1]) == 0 then return 0 end
local spend = {}
for place = 1, 6 do spend[place] = tonumber(ARGV[place]) end
local counters = #ARGV - 6
for index = 1, counters do
  local key, field = KEYS[index + 1], ARGV[6 + index]
  local spent = redis.call('HGET', key, field)
  if spent then
    local left = add(read(spent), spend, -1)
    if left[1] >= 0 and left[3] >= 0 and left[5] >= 0 then
      local total = add(read(redis.call('HGET', key, 'total')), spend, -1)
      redis.call('HSET', key, field, pack(left), 'total', pack(total))
    end
  end
end
local session = KEYS[counters + 2]
local left = session and redis.call('PTTL', session) or 0
if left > 0 then
  local total = add(read(redis.call('GET', session)), {spend[1], spend[2], 0, 0, 0, 0}, -1)
  if total[1] >= 0 then
    redis.call('SET', session, write(total[1]) .. ' ' .. write(total[2]), 'PX', left)
  end
end
return 1
`;

/** KEYS: the counters. ARGV: their windows in ms. Returns their totals as texts of six numbers. */
export const usageScript = `${common}
local totals = {}
for index, key in ipairs(KEYS) do
  local _, total = advance(key, tonumber(ARGV[index]))
  totals[index] = pack(total)
end
return totals
`;

/** KEYS: a name of its own. Tells whether Redis takes writes. */
export const healthScript = `redis.call('SET', KEYS[1], '1', 'PX', 60000) return 1`;
