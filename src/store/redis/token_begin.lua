-- Takes the turn to log in, unless somebody has it.
--
-- KEYS  1 the call's name, 2 turn, 3 fence
-- ARGV  clock, how long the reply is remembered (ms), span of the lease (ms)
-- Reply the fence; nil: somebody has the turn
local was = redis.call('GET', KEYS[1])
if was then return was end
local now, span = clock(ARGV[1]), tonumber(ARGV[3])
if turn_of(KEYS[2], now) then return false end
local fence = fence_after(redis.call('GET', KEYS[3]), now)
redis.call('SET', KEYS[3], fence)
redis.call('SET', KEYS[2], fence .. ' ' .. whole(now + span), 'PX', whole(span))
redis.call('SET', KEYS[1], fence, 'PX', ARGV[2])
return fence
