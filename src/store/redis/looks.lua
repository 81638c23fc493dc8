-- The due-index, shared by the scripts that change it. A record that is not at rest has a line in the hash `looks`:
-- "at|till|fence|news|beside". `at`, `news` and `beside` are business times, `till` is the store's, all in ms.
--   at      when it is looked at next
--   till    until when somebody holds its lease; none: nobody does
--   fence   of the lease that was taken last
--   news    when something happened to it that nobody who looks was told of yet: `at` is never later
--   beside  a time that was set while somebody else held the lease: it outlives what the holder says
-- Two sets share out the lines, so that nobody who looks for work reads past what others hold: `due` by `at` for those
-- that nobody holds, `leased` by `till`. `rested` has those at rest by since when, where that is to be noted.
local index = {}

local function read_look(id)
  local line = redis.call('HGET', index.looks, id)
  if not line then return nil end
  local at, till, fence, news, beside = string.match(line, '^(%-?%d+)|(%d*)|(%d*)|(%-?%d*)|(%-?%d*)$')
  if not at then error('a line of the due-index can\'t be read') end
  return { at = tonumber(at), till = tonumber(till), fence = fence, news = tonumber(news), beside = tonumber(beside) }
end

local function write_look(id, look)
  local function text(number) return number and whole(number) or '' end
  local line = table.concat({ whole(look.at), text(look.till), look.fence or '', text(look.news), text(look.beside) }, '|')
  redis.call('HSET', index.looks, id, line)
  if look.till then
    redis.call('ZADD', index.leased, whole(look.till), id)
    redis.call('ZREM', index.due, id)
  else
    redis.call('ZADD', index.due, whole(look.at), id)
    redis.call('ZREM', index.leased, id)
  end
  -- Also where rest is not noted now: it may have been once, and that time is over.
  if index.rested then redis.call('ZREM', index.rested, id) end
end

local function remove_look(id)
  redis.call('HDEL', index.looks, id)
  redis.call('ZREM', index.due, id)
  redis.call('ZREM', index.leased, id)
end

local function is_held(look, now)
  return look ~= nil and look.till ~= nil and look.till > now
end

local function is_held_by(look, fence, now)
  return is_held(look, now) and look.fence == fence
end

-- The earlier of a time and one that may be missing.
local function earlier(time, other)
  if other and other < time then return other end
  return time
end

-- Gives `look` the lease for `span` ms.
local function give_lease(look, now, span)
  local fence = fence_after(redis.call('GET', index.fence), now)
  redis.call('SET', index.fence, fence)
  look.till, look.fence, look.beside = now + span, fence, nil
  return fence
end

-- Sets a time, no later than news demand it. Where somebody holds the lease it also outlives what he says.
local function set_time(look, at, now)
  look = look or {}
  look.at = earlier(at, look.news)
  look.beside = is_held(look, now) and earlier(at, look.beside) or nil
  return look
end

-- What a record's look becomes: `kind` is keep, at or rest; `lease` is keep, take or release, with its span or fence.
-- The look, nil where the record is at rest, and the fence where the lease was taken.
local function step_look(look, kind, at, lease, lease_of, now)
  -- A time that was set while this holder held the lease stands whatever he says.
  local beside
  if lease == 'release' and look and look.till and look.fence == lease_of then
    beside = look.beside
    look.till, look.beside = nil, nil
  end
  if kind == 'at' then
    look = set_time(look, earlier(at, beside), now)
  elseif beside then
    look = set_time(look, beside, now)
  elseif kind == 'rest' and look then
    -- It rests, or waits for whoever is to hear its news. Nobody holds it any longer.
    if look.news then
      look.at, look.till, look.beside = look.news, nil, nil
    else
      look = nil
    end
  end
  local fence
  if lease == 'take' and look and not is_held(look, now) then
    fence = give_lease(look, now, lease_of)
  end
  return look, fence
end

-- Puts a record's look where it belongs.
local function put_look(id, look, now)
  if look then
    write_look(id, look)
  else
    remove_look(id)
    -- A time that was noted before is over all the same.
    if index.notes_rest then
      redis.call('ZADD', index.rested, whole(now), id)
    else
      redis.call('ZREM', index.rested, id)
    end
  end
end
