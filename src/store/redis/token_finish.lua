-- Lays down the access token that a login brought, and gives the turn back, if the fence still has it. Sent twice it finds
-- its own token and says the same.
--
-- KEYS  1 token, 2 turn
-- ARGV  clock, fence, how long the token is kept (ms), its body
-- Reply 1, or 0: the fence has the turn no longer, and nothing happened
local now, fence, span = clock(ARGV[1]), ARGV[2], tonumber(ARGV[3])
if read_token(KEYS[1]) == fence then return 1 end
if turn_of(KEYS[2], now) ~= fence then return 0 end
redis.call('SET', KEYS[1], fence .. ' ' .. whole(now + span) .. ' ' .. ARGV[4], 'PX', whole(span))
redis.call('DEL', KEYS[2])
return 1
