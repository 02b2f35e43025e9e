-- ARGV: claim, worker.
local claim, worker = arg(1), arg(2)

local function delivery(element, held)
  local exhausted = held.attempt > MAX_ATTEMPTS
  local reason = exhausted and redis.call('HGET', REASONS, held.job) or ''
  return { 'job', element, math.min(held.attempt, MAX_ATTEMPTS), exhausted and 1 or 0, reason or '' }
end

local function reap()
  local expired = redis.call('ZRANGEBYSCORE', LEASE, '-inf', NOW, 'LIMIT', 0, BATCH)
  -- The oldest last: it is the next in line.
  for i = #expired, 1, -1 do take_back(expired[i]) end
end

local function promote()
  local due = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', NOW, 'LIMIT', 0, BATCH)
  for i = #due, 1, -1 do
    local element = redis.call('HGET', PARKED, due[i])
    if element then push_next(element) end
    redis.call('ZREM', DELAYED, due[i])
    redis.call('HDEL', PARKED, due[i])
  end
end

local function empty(paused)
  local lease, delayed = first_score(LEASE), first_score(DELAYED)
  local soonest = lease and delayed and math.min(lease, delayed) or lease or delayed
  return { 'empty', until_ms(soonest), until_ms(callback_due()), paused }
end

-- The next element by the order of the line.
local function first_in_line()
  return redis.call('LINDEX', LIST, RIGHT and -1 or 0)
end

-- The next element by users: of the one who was served the longest ago, his oldest.
local function fair()
  local elements
  if RIGHT then
    elements = redis.call('LRANGE', LIST, -WINDOW, -1)
  else
    elements = redis.call('LRANGE', LIST, 0, WINDOW - 1)
  end
  local chosen, chosen_user, least
  for i = 1, #elements do
    local element = elements[RIGHT and (#elements + 1 - i) or i]
    local user = user_of(element)
    local served = tonumber(redis.call('ZSCORE', SERVED, user) or 0)
    if not least or served < least then
      chosen, chosen_user, least = element, user, served
    end
  end
  if not chosen then return nil end
  local newest = score(redis.call('ZREVRANGE', SERVED, 0, 0, 'WITHSCORES')) or 0
  redis.call('ZADD', SERVED, math.max(NOW, newest + 1), chosen_user)
  redis.call('ZREMRANGEBYSCORE', SERVED, '-inf', NOW - REMEMBER_ID_S * 1000)
  return chosen
end

-- One claim never holds two jobs.
if remembered(SETTLED, claim) or remembered(TAKEN, claim) or redis.call('HEXISTS', PARKED, claim) == 1 then
  return { 'spent' }
end
local mine = redis.call('HGET', INFLIGHT, claim)
if mine then return delivery(mine, held_by(claim, mine)) end

reap()
promote()
if redis.call('EXISTS', PAUSED) == 1 then return empty(1) end
local element
if WINDOW > 0 then element = fair() else element = first_in_line() end
if not element then return empty(0) end

local job = job_key(element)
local count = attempts_of(job)
local held = { job = job, worker = worker, attempt = count + 1, at = NOW }
-- Past the last attempt the count stays, and the delivery says so.
if count < MAX_ATTEMPTS then redis.call('HINCRBY', ATTEMPTS, job, 1) end
redis.call('HSET', INFLIGHT, claim, element)
redis.call('HSET', CLAIMS, claim, cjson.encode(held))
redis.call('ZADD', LEASE, NOW + LEASE_MS, claim)
-- Equal elements are interchangeable; the chosen one is the first of them from this end.
redis.call('LREM', LIST, RIGHT and -1 or 1, element)
return delivery(element, held)
