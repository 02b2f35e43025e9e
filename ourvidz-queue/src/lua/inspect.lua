-- Reads only. ARGV: what, limit.
local what, limit = arg(1), tonumber(arg(2))

local function values(hash, ids)
  local found = {}
  for _, id in ipairs(ids) do
    local value = redis.call('HGET', hash, id)
    if value then found[#found + 1] = value end
  end
  return found
end

local function ids_of(set)
  return redis.call('ZRANGE', set, 0, limit - 1)
end

if what == 'counts' then
  local function stat(name) return tonumber(redis.call('HGET', STATS, name) or 0) end
  return { redis.call('LLEN', LIST), redis.call('HLEN', INFLIGHT), redis.call('HLEN', PARKED),
    redis.call('LLEN', DEAD), stat('done'), stat('failed'), redis.call('HLEN', OUTBOX),
    redis.call('HLEN', BURIED), redis.call('EXISTS', PAUSED) }
elseif what == 'in_flight' then
  local jobs = {}
  local elements = redis.call('HGETALL', INFLIGHT)
  for i = 1, #elements, 2 do
    local claim = elements[i]
    local held = held_by(claim, elements[i + 1])
    local deadline = tonumber(redis.call('ZSCORE', LEASE, claim) or 0)
    jobs[#jobs + 1] = { claim, tostring(held.worker), held.job, math.min(held.attempt, MAX_ATTEMPTS),
      tonumber(held.at) or 0, until_ms(deadline) }
  end
  return jobs
elseif limit == 0 then
  return {}
elseif what == 'waiting' then
  return redis.call('LRANGE', LIST, RIGHT and -limit or 0, RIGHT and -1 or limit - 1)
elseif what == 'delayed' then
  local jobs = {}
  local due = redis.call('ZRANGE', DELAYED, 0, limit - 1, 'WITHSCORES')
  for i = 1, #due, 2 do
    local element = redis.call('HGET', PARKED, due[i])
    if element then jobs[#jobs + 1] = { element, until_ms(tonumber(due[i + 1])) } end
  end
  return jobs
elseif what == 'dead' then
  return redis.call('LRANGE', DEAD, 0, limit - 1)
elseif what == 'callbacks' then
  return values(OUTBOX, ids_of(DUE))
elseif what == 'dead_callbacks' then
  return values(BURIED, ids_of(BURIED_AT))
end
return redis.error_reply('ERR unknown view ' .. tostring(what))
