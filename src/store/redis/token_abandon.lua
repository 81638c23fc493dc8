-- Gives the turn to log in back, if the fence still has it. Sent twice it says the same.
--
-- KEYS  1 turn
-- ARGV  clock, fence
-- Reply 1: the fence does not have the turn
if turn_of(KEYS[1], clock(ARGV[1])) == ARGV[2] then redis.call('DEL', KEYS[1]) end
return 1
