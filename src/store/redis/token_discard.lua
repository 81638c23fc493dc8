-- Takes away an access token, if it is of this version. Sent twice it says the same.
--
-- KEYS  1 token
-- ARGV  version
-- Reply 1: no token of this version is here
if read_token(KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
