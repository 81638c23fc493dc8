-- What the scripts share; it stands before each of them.
--
-- Every script keeps these promises: all its keys are of one partition, so of one slot; all checks come before the first
-- write, since Redis undoes nothing; it does no arithmetic with money; and it goes by the server's clock. One that is told
-- the name of a write remembers its reply under that name: sent twice, it has one effect and gives one reply.

-- The store's clock in ms: the server's, unless a test sets it.
local function clock(set)
  if set ~= '' then return tonumber(set) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- A number as text. Lua alone writes large ones with an exponent.
local function whole(number)
  return string.format('%.0f', number)
end

-- The fence after `last`. None is given twice, also by a store that was set back or lost it: it goes by the clock.
local function fence_after(last, now)
  return whole(math.max(tonumber(last or 0) + 1, now * 1000))
end

-- The revision, the places and the body of a stored record: "<revision> <bytes of places> <places><body>".
-- Places are where its id stands besides: "<bytes>:<place>" one after the other (see record.rs).
local function parts_of(stored)
  local revision, length, at = string.match(stored, '^(%d+) (%d+) ()')
  if not revision then error('what is kept of a record can\'t be read') end
  length = tonumber(length)
  return tonumber(revision), string.sub(stored, at, at + length - 1), string.sub(stored, at + length)
end

-- Takes a record out of a list, or from under a reference that is its own. Any other place is left as it is.
local function leave_place(prefix, place, id)
  local name, sort = prefix .. place, string.sub(place, 1, 2)
  if sort == 'l:' then
    redis.call('ZREM', name, id)
  elseif sort == 'f:' and redis.call('GET', name) == id then
    redis.call('DEL', name)
  end
end

-- Places as a list.
local function list_of(places)
  local list, at = {}, 1
  while at <= #places do
    local colon = string.find(places, ':', at, true)
    local length = tonumber(string.sub(places, at, colon - 1))
    list[#list + 1] = string.sub(places, colon + 1, colon + length)
    at = colon + length + 1
  end
  return list
end
