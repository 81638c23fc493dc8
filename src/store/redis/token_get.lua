-- Reads an account's access token. It writes nothing.
--
-- KEYS  1 token
-- ARGV  clock
-- Reply its version, for how long it lies here yet (ms), its body; nil: there is none
local now = clock(ARGV[1])
local version, till, body = read_token(KEYS[1])
if not version or till <= now then return false end
return { version, whole(till - now), body }
