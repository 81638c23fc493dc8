-- The record that has a reference, in one round trip.
--
-- KEYS  1 the reference
-- ARGV  prefix of keys
-- Reply {id, stored}, or nothing. The record's key can't be known before: it is only read, and where it is not found the
-- caller reads it again by its own key.
local id = redis.call('GET', KEYS[1])
if not id then return {} end
return { id, redis.call('GET', ARGV[1] .. 'r:' .. id) }
