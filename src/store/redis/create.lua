-- Creates the store, or leaves the one that is there.
--
-- KEYS  1 what the store is
-- ARGV  names and values of its fields, one after the other
-- Reply the fields of the store that is there now
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('HSET', KEYS[1], unpack(ARGV)) end
return redis.call('HGETALL', KEYS[1])
