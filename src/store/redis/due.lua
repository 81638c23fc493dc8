-- When the longest-waiting records that nobody holds are due. Writes nothing.
--
-- KEYS  1 due, 2 leased, 3 looks
-- ARGV  clock, how many at most
-- Reply their business times, earliest first
index = { looks = KEYS[3] }
local now, limit = clock(ARGV[1]), tonumber(ARGV[2])
local times = {}
for i, text in ipairs(redis.call('ZRANGE', KEYS[1], 0, limit - 1, 'WITHSCORES')) do
  if i % 2 == 0 then times[#times + 1] = tonumber(text) end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', whole(now), 'LIMIT', 0, 1000)) do
  times[#times + 1] = read_look(id).at
end
table.sort(times)
local reply = {}
for i = 1, math.min(limit, #times) do reply[i] = whole(times[i]) end
return reply
