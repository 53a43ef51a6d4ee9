"""What Redis does in one step each, in Lua. Its clock is Redis's own, so that gateways on several
machines agree on the time.

Moments are microseconds since 2026-01-01: a double holds those to a fraction of a microsecond for
a century, and seconds since 1970 not. (https://redis.io/docs/latest/commands/time/ and
https://redis.io/docs/latest/develop/programmability/lua-api/, read 2026-11-23)
"""

from __future__ import annotations

_NOW = """
local time = redis.call('TIME')
local now = (time[1] - 1767225600) * 1e6 + time[2]
"""

_KEEP = """
local function keep(key, full_at)
  if full_at > now then
    redis.call('SET', key, string.format('%.17g', full_at),
               'PX', math.ceil((full_at - now) / 1000))
  else
    redis.call('DEL', key)
  end
end
"""

TAKE = (
    _NOW
    + _KEEP
    + """
-- ARGV: tolerance, wait for a place, lease (all in us), member, then for each key
--       per minute (0: a concurrency), capacity, amount
-- gives {1, then for each key: remaining, full in us}
--       {0, number of the key that refuses, wait in us, remaining, full in us}
local tolerance, place_wait, lease = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local after, reply, worst, worst_wait = {}, {1}, 0, tolerance

for i, key in ipairs(KEYS) do
  local at = 2 + 3 * i
  local per_minute, capacity = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local amount = tonumber(ARGV[at + 2])
  local wait, before_remaining, before_full, remaining, full = 0, 0, 0, 0, 0
  if per_minute == 0 then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    local taken = redis.call('ZCARD', key)
    before_remaining, remaining = capacity - taken, capacity - taken - amount
    if remaining < 0 then wait = place_wait end
  else
    local each = 60e6 / per_minute
    local full_at = math.max(tonumber(redis.call('GET', key) or now), now)
    after[i] = full_at + amount * each
    before_full, full = full_at - now, after[i] - now
    wait = full - math.max(capacity, amount) * each
    before_remaining = math.floor((capacity * each - before_full + tolerance) / each)
    remaining = math.floor((capacity * each - full + tolerance) / each)
  end
  if wait > worst_wait then
    worst, worst_wait = i, wait
    reply = {0, i, math.ceil(wait), math.max(0, before_remaining), math.ceil(before_full)}
  elseif worst == 0 then
    reply[#reply + 1] = math.max(0, remaining)
    reply[#reply + 1] = math.ceil(full)
  end
end
if worst > 0 then return reply end

for i, key in ipairs(KEYS) do
  if after[i] then
    keep(key, after[i])
  else
    redis.call('ZADD', key, now + lease, ARGV[4])
    redis.call('PEXPIRE', key, math.ceil(lease / 1000))
  end
end
return reply
"""
)

CHARGE = (
    _NOW
    + _KEEP
    + """
-- ARGV: for each key per minute and tokens; those below 0 come back
for i, key in ipairs(KEYS) do
  local full_at = math.max(tonumber(redis.call('GET', key) or now), now)
  keep(key, full_at + tonumber(ARGV[2 * i]) * 60e6 / tonumber(ARGV[2 * i - 1]))
end
"""
)

RENEW = (
    _NOW
    + """
-- ARGV: lease in us, then the members that are still in their places
for i = 2, #ARGV do
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[1] / 1000))
"""
)
