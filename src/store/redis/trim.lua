-- Removes the oldest entries of a log that are older than a time.
--
-- KEYS  1 the call's name, 2 log, 3 head, 4 ids of events
-- ARGV  how long the reply is remembered (ms), ms, how many at most
-- Reply how many, as text
local was = redis.call('GET', KEYS[1])
if was then return was end
local before = tonumber(ARGV[2])
local ids, last_seq, last_ms = {}, nil, nil
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', ARGV[3])) do
  local seq, ms = string.match(entry[1], '^(%d+)%-(%d+)$')
  if tonumber(ms) >= before then break end
  ids[#ids + 1], last_seq, last_ms = entry[2][2], tonumber(seq), ms
end
if #ids == 0 then return '0' end
redis.call('HDEL', KEYS[4], unpack(ids))
redis.call('XTRIM', KEYS[2], 'MINID', whole(last_seq + 1))
local ms, seq = string.match(redis.call('GET', KEYS[3]), '^(%d+) (%d+)')
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
local first_seq, first_ms = '0', '0'
if first then first_seq, first_ms = string.match(first[1], '^(%d+)%-(%d+)$') end
redis.call('SET', KEYS[3], table.concat({ ms, seq, last_ms, first_ms, first_seq }, ' '))
local reply = tostring(#ids)
redis.call('SET', KEYS[1], reply, 'PX', ARGV[1])
return reply
