-- Forgets claims whose retention is over.
--
-- KEYS  1 the call's name, 2 ends of claims, then the claims
-- ARGV  clock, how long the reply is remembered (ms), then the claims' scopes
-- Reply how many, as text
local was = redis.call('GET', KEYS[1])
if was then return was end
local now, forgotten = clock(ARGV[1]), 0
for i = 3, #KEYS do
  local over = redis.call('ZSCORE', KEYS[2], ARGV[i])
  if over and tonumber(over) <= now then
    redis.call('DEL', KEYS[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
    forgotten = forgotten + 1
  end
end
local reply = tostring(forgotten)
redis.call('SET', KEYS[1], reply, 'PX', ARGV[2])
return reply
