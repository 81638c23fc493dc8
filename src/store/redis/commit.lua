-- Applies a batch, or nothing: the contract of `store::Records::commit`.
--
-- KEYS  1 the write's name, 2 log, 3 head, 4 ids of events, 5 due, 6 leased, 7 looks, 8 fence, 9 rested, 10 ends of claims,
--       then every claim, record, reference and list that the batch names; ARGV gives their numbers.
-- ARGV  clock, how long the reply is remembered (ms), whether rest is noted, prefix of keys, channel of wake-ups, partition,
--       then the batch, counted.
-- Reply {'done', "<ms>-<seq>-<fence>" for each change, joined by ','}, or a conflict: {'claimed', record, fingerprint,
--       outcome, stored}, {'moved', id}, {'referenced', change, step, holder}, {'guard', number}; {'broken', why};
--       {'again'}: the record to be removed stands in other places than its remover had read.
--
-- The one key that KEYS can't name is that of the record which a claim is of: it is only read. Where it is not found the
-- caller reads it again by its own key.
local position = 0
local function arg()
  position = position + 1
  return ARGV[position]
end
local function number() return tonumber(arg()) end
local function key() return KEYS[number()] end

local now = clock(arg())
local remember = arg()
index = { due = KEYS[5], leased = KEYS[6], looks = KEYS[7], fence = KEYS[8], rested = KEYS[9], notes_rest = arg() == '1' }
local prefix, channel, partition = arg(), arg(), arg()
local log, head_key, event_ids, claim_ends = KEYS[2], KEYS[3], KEYS[4], KEYS[10]

local was = redis.call('GET', KEYS[1])
if was then return { 'done', was } end

-- The batch, read whole before anything is judged.
local claims, changes, guards = {}, {}, {}
for i = 1, number() do
  claims[i] = { kind = arg(), key = key(), scope = arg(), record = arg(), text = arg(), answer = arg(), keep = number() }
end
for i = 1, number() do
  local change = { id = arg(), key = key(), from = number(), kind = arg(), body = arg(), event = arg(), event_body = arg() }
  change.references, change.join, change.leave = {}, {}, {}
  for j = 1, number() do change.references[j] = { kind = arg(), key = key(), place = arg() } end
  for j = 1, number() do change.join[j] = { key = key(), place = arg() } end
  for j = 1, number() do change.leave[j] = { key = key(), place = arg() } end
  change.look, change.at, change.lease, change.lease_of = arg(), number(), arg(), arg()
  if change.lease == 'take' then change.lease_of = tonumber(change.lease_of) end
  changes[i] = change
end
for i = 1, number() do
  guards[i] = { kind = arg(), key = key(), id = arg(), value = arg() }
end

-- Checks, in the contract's order, against what stood before. All that is kept is read here too: what can't be read is an
-- error before the first write.
-- "<ms> <seq> <trimmed ms> <first ms> <first seq>": the newest entry that ever was, the time of the newest that trimming
-- removed, and the oldest that is still there (0 0: none is).
local head = redis.call('GET', head_key) or '0 0 0 0 0'
local ms, seq, trimmed, first_ms, first_seq = string.match(head, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
if not ms then return { 'broken', 'the head of a log can\'t be read' } end
ms, seq = math.max(tonumber(ms), now), tonumber(seq)
for _, claim in ipairs(claims) do
  if claim.kind == 'take' then
    local standing = redis.call('HMGET', claim.key, 'record', 'fingerprint', 'outcome')
    if standing[1] then
      return { 'claimed', standing[1], standing[2], standing[3], redis.call('GET', prefix .. 'r:' .. standing[1]) }
    end
  end
end
for _, change in ipairs(changes) do
  local stored = redis.call('GET', change.key)
  local revision, places = 0, ''
  if stored then
    revision, places = parts_of(stored)
  end
  change.places, change.standing = list_of(places), read_look(change.id)
  if revision ~= (change.from or 0) then return { 'moved', change.id } end
end
for _, guard in ipairs(guards) do
  if guard.kind == 'at' then
    local stored = redis.call('GET', guard.key)
    if not stored or parts_of(stored) ~= tonumber(guard.value) then return { 'moved', guard.id } end
  end
end
local makers = {}
for i, change in ipairs(changes) do
  for j, reference in ipairs(change.references) do
    if reference.kind == 'unique' then
      makers[reference.key] = makers[reference.key] or change.id
      local holder = redis.call('GET', reference.key) or makers[reference.key]
      if holder ~= change.id then return { 'referenced', i, j, holder } end
    end
  end
end
for i, guard in ipairs(guards) do
  local holds = true
  if guard.kind == 'held' then
    holds = is_held_by(read_look(guard.id), guard.value, now)
  elseif guard.kind == 'unheld' then
    holds = not is_held(read_look(guard.id), now)
  elseif guard.kind == 'shorter' then
    holds = redis.call('ZCARD', guard.key) < tonumber(guard.value)
  end
  if not holds then return { 'guard', i } end
end
local appended = {}
for _, change in ipairs(changes) do
  if change.event ~= '' then
    if appended[change.event] or redis.call('HEXISTS', event_ids, change.event) == 1 then
      return { 'broken', 'an event id is used twice' }
    end
    appended[change.event] = true
  end
end
-- A removal's places are keys that its remover read before: each must be among KEYS.
local named
for _, change in ipairs(changes) do
  if change.kind == 'remove' then
    if not named then
      named = {}
      for _, name in ipairs(KEYS) do named[name] = true end
    end
    for _, place in ipairs(change.places) do
      if not named[prefix .. place] then return { 'again' } end
    end
  end
end

-- Writes. From here on nothing fails: every key is of the type that only these scripts give it.
for _, claim in ipairs(claims) do
  local standing = redis.call('HMGET', claim.key, 'record', 'outcome', 'over')
  local is_ours = standing[1] == claim.record
  local function keep_until()
    local over = whole(now + claim.keep)
    redis.call('HSET', claim.key, 'over', over)
    redis.call('ZADD', claim_ends, over, claim.scope)
  end
  if claim.kind == 'take' then
    redis.call('HSET', claim.key, 'record', claim.record, 'fingerprint', claim.text)
  elseif claim.kind == 'settle' and is_ours and not standing[2] then
    redis.call('HSET', claim.key, 'outcome', claim.text, 'record', claim.answer)
    if claim.keep then keep_until() end
  elseif claim.kind == 'start' and is_ours and standing[2] and not standing[3] then
    keep_until()
  elseif claim.kind == 'free' and is_ours then
    redis.call('DEL', claim.key)
    redis.call('ZREM', claim_ends, claim.scope)
  end
end

local grew = false

local function append(change)
  grew, seq = true, seq + 1
  redis.call('XADD', log, whole(seq) .. '-' .. whole(ms), 'id', change.event, 'body', change.event_body)
  redis.call('HSET', event_ids, change.event, whole(seq))
  if first_seq == '0' then first_ms, first_seq = whole(ms), whole(seq) end
  return whole(ms) .. '-' .. whole(seq)
end

local function remove(change)
  for _, place in ipairs(change.places) do leave_place(prefix, place, change.id) end
  redis.call('DEL', change.key)
  remove_look(change.id)
  redis.call('ZREM', index.rested, change.id)
end

-- The places after the change; the lists and references themselves are written on the way.
local function move(change)
  local places, standing = {}, {}
  local left = {}
  for _, list in ipairs(change.leave) do
    redis.call('ZREM', list.key, change.id)
    left[list.place] = true
  end
  for _, place in ipairs(change.places) do
    if not left[place] then
      places[#places + 1], standing[place] = place, true
    end
  end
  local function stand_in(place)
    if not standing[place] then
      places[#places + 1], standing[place] = place, true
    end
  end
  for _, list in ipairs(change.join) do
    redis.call('ZADD', list.key, 0, change.id)
    stand_in(list.place)
  end
  for _, reference in ipairs(change.references) do
    -- Ids sort by time: the newest record is the holder. They are digits and capital letters, which every locale sorts alike.
    local holder = reference.kind == 'latest' and redis.call('GET', reference.key)
    if not holder or holder <= change.id then
      redis.call('SET', reference.key, change.id)
      stand_in(reference.place)
    end
  end
  -- The claim that made the record goes when the record is forgotten, and so does one that was settled for as long as that.
  for _, claim in ipairs(claims) do
    local made_it = claim.kind == 'take' and not change.from
    local lasts = claim.kind == 'settle' and not claim.keep
    if claim.record == change.id and (made_it or lasts) then stand_in('c:' .. claim.scope) end
  end
  for i, place in ipairs(places) do places[i] = #place .. ':' .. place end
  return table.concat(places)
end

local written = {}
for i, change in ipairs(changes) do
  local at = change.event ~= '' and append(change) or '0-0'
  local fence
  if change.kind == 'remove' then
    remove(change)
  else
    local places = move(change)
    redis.call('SET', change.key, whole((change.from or 0) + 1) .. ' ' .. #places .. ' ' .. places .. change.body)
    local look
    look, fence = step_look(change.standing, change.look, change.at, change.lease, change.lease_of, now)
    put_look(change.id, look, now)
  end
  written[i] = at .. '-' .. (fence or '0')
end
if grew then
  redis.call('SET', head_key, table.concat({ whole(ms), whole(seq), trimmed, first_ms, first_seq }, ' '))
end
local reply = table.concat(written, ',')
redis.call('SET', KEYS[1], reply, 'PX', remember)
-- A wake-up that can't be told (an account without the channel, say) undoes nothing: all is looked at once a second.
if grew then redis.pcall('PUBLISH', channel, partition) end
return { 'done', reply }
