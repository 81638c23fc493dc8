-- Takes the leases of what is due and nobody holds, longest due first: `store::Leases::take_due` in one partition.
--
-- KEYS  1 the call's name, 2 due, 3 leased, 4 looks, 5 fence
-- ARGV  clock, how long the reply is remembered (ms), business time, span of the lease, how many at most
-- Reply "<id> <fence> <at>" for each, joined by ','
local was = redis.call('GET', KEYS[1])
if was then return was end
index = { due = KEYS[2], leased = KEYS[3], looks = KEYS[4], fence = KEYS[5] }
local now, remember, business = clock(ARGV[1]), ARGV[2], ARGV[3]
local span, limit = tonumber(ARGV[4]), tonumber(ARGV[5])

-- There are never more leases alive than there is work in flight, so this is a bound, not a rhythm.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', index.leased, '-inf', whole(now), 'LIMIT', 0, 1000)) do
  local look = read_look(id)
  look.till = nil
  write_look(id, look)
end
local taken = {}
for i, id in ipairs(redis.call('ZRANGEBYSCORE', index.due, '-inf', business, 'LIMIT', 0, limit)) do
  local look = read_look(id)
  look.news = nil
  local fence = give_lease(look, now, span)
  write_look(id, look)
  taken[i] = id .. ' ' .. fence .. ' ' .. whole(look.at)
end
local reply = table.concat(taken, ',')
if reply ~= '' then redis.call('SET', KEYS[1], reply, 'PX', remember) end
return reply
