-- Makes a lease last from now, if the fence still holds it. Sent twice it says the same.
--
-- KEYS  1 due, 2 leased, 3 looks
-- ARGV  clock, id, fence, span (ms)
-- Reply 1, or 0: the fence holds it no longer
index = { due = KEYS[1], leased = KEYS[2], looks = KEYS[3] }
local now, id = clock(ARGV[1]), ARGV[2]
local look = read_look(id)
if not is_held_by(look, ARGV[3], now) then return 0 end
look.till = now + tonumber(ARGV[4])
write_look(id, look)
return 1
