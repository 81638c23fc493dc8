-- The number of the last entry before a time: times never go back, so a binary search finds it.
--
-- KEYS  1 log, 2 head
-- ARGV  ms
-- Reply the number, as text
local before = tonumber(ARGV[1])
local _, last, _, _, first = string.match(redis.call('GET', KEYS[2]) or '0 0 0 0 0', '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
if first == '0' then return last end
local low, high = tonumber(first), tonumber(last) + 1
while low < high do
  local middle = low + math.floor((high - low) / 2)
  local seq = whole(middle)
  local entry = redis.call('XRANGE', KEYS[1], seq .. '-0', seq .. '-18446744073709551615')[1]
  -- An entry that is missing is a hole that its reader will meet: it counts as old.
  if not entry or tonumber(string.match(entry[1], '%-(%d+)$')) < before then low = middle + 1 else high = middle end
end
return whole(low - 1)
