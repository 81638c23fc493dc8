-- Gives a lease back and sets the next look, if the fence still holds it.
--
-- KEYS  1 the call's name, 2 due, 3 leased, 4 looks, 5 rested
-- ARGV  clock, how long the reply is remembered (ms), whether rest is noted, id, fence, look, its time
-- Reply 1, or 0: the fence holds it no longer
if redis.call('GET', KEYS[1]) then return 1 end
index = { due = KEYS[2], leased = KEYS[3], looks = KEYS[4], rested = KEYS[5], notes_rest = ARGV[3] == '1' }
local now, id, fence = clock(ARGV[1]), ARGV[4], ARGV[5]
local look = read_look(id)
if not is_held_by(look, fence, now) then return 0 end
put_look(id, step_look(look, ARGV[6], tonumber(ARGV[7]), 'release', fence, now), now)
redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
return 1
