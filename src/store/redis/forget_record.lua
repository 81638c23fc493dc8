-- Forgets a record that has been at rest for long: from wherever it stands, with the claim that made it.
--
-- KEYS  1 the call's name, 2 the record, 3 rested, 4 looks, 5 ends of claims, then its places
-- ARGV  clock, how long the reply is remembered (ms), id, since when it must rest (ms), prefix of keys, whether it is to be kept
-- Reply '1', or '0': it does not rest that long, stands in other places than the caller had read, or is to be kept. Then its
--       rest begins anew, so that it stands in nobody's way.
local was = redis.call('GET', KEYS[1])
if was then return was end
local now, remember, id, since, prefix = clock(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local rested, stored = redis.call('ZSCORE', KEYS[3], id), redis.call('GET', KEYS[2])
if not rested or tonumber(rested) > since then return '0' end
local function keep()
  redis.call('ZADD', KEYS[3], whole(now), id)
  return '0'
end
if ARGV[6] == '1' or redis.call('HEXISTS', KEYS[4], id) == 1 then return keep() end
local named = {}
for i = 6, #KEYS do named[KEYS[i]] = true end
local places = {}
if stored then
  local is_read, list = pcall(function()
    local _, text = parts_of(stored)
    return list_of(text)
  end)
  if not is_read then return keep() end
  places = list
end
for _, place in ipairs(places) do
  if not named[prefix .. place] then return keep() end
end
for _, place in ipairs(places) do
  leave_place(prefix, place, id)
  local name = prefix .. place
  if string.sub(place, 1, 2) == 'c:' and redis.call('HGET', name, 'record') == id then
    redis.call('DEL', name)
    redis.call('ZREM', KEYS[5], string.sub(place, 3))
  end
end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[3], id)
redis.call('SET', KEYS[1], '1', 'PX', remember)
return '1'
