-- Makes a record due unless it is due sooner. Sent twice it says the same.
--
-- KEYS  1 the record, 2 due, 3 leased, 4 looks, 5 rested
-- ARGV  clock, id, business time, asked or news
-- Reply 1, or 0: there is no such record, or it was merely asked for and somebody holds it
index = { due = KEYS[2], leased = KEYS[3], looks = KEYS[4], rested = KEYS[5] }
local now, id, time, why = clock(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local look = read_look(id)
if why == 'asked' and is_held(look, now) then return 0 end
look = look or { at = time }
look.at = earlier(time, look.at)
if why == 'news' then look.news = earlier(time, look.news) end
write_look(id, look)
return 1
