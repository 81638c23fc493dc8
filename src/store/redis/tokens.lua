-- How an account's access token and the turn to log in for it are kept, shared by the scripts about them.
--   token   "<version> <till> <body>": the fence of the login that brought it, until when it lies here, what was laid down
--   turn    "<fence> <till>": who logs in now, until when
-- `till` is the store's time in ms, and judges. Both keys also expire at about that time, which only cleans up.

-- The version, the end and the body of the token, whatever the time.
local function read_token(key)
  local kept = redis.call('GET', key)
  if not kept then return nil end
  local version, till, at = string.match(kept, '^(%d+) (%d+) ()')
  return version, tonumber(till), string.sub(kept, at)
end

-- The fence that has the turn at `now`; none: nobody has it.
local function turn_of(key, now)
  local kept = redis.call('GET', key)
  if not kept then return nil end
  local fence, till = string.match(kept, '^(%d+) (%d+)$')
  if tonumber(till) <= now then return nil end
  return fence
end
