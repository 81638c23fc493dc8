-- The entry of an event, by its id.
--
-- KEYS  1 ids of events, 2 log
-- ARGV  id
-- Reply what XRANGE replies: one entry, or none
local seq = redis.call('HGET', KEYS[1], ARGV[1])
if not seq then return {} end
return redis.call('XRANGE', KEYS[2], seq .. '-0', seq .. '-18446744073709551615')
