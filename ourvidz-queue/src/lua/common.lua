-- Begins every script. KEYS: the queue's own keys in the order below, then the script's.
-- ARGV: the time (empty: the server's clock), the queue's options, then the script's.
local LIST, INFLIGHT, CLAIMS, LEASE = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ATTEMPTS, REASONS, DELAYED, PARKED = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local DEAD, PAUSED, SERVED, STATS = KEYS[9], KEYS[10], KEYS[11], KEYS[12]
local OUTBOX, DUE, BURIED, BURIED_AT, DISABLED = KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17]
local SETTLED, TAKEN = KEYS[18], KEYS[19]

local RIGHT = ARGV[2] == 'right'
local MAX_ATTEMPTS, LEASE_MS = tonumber(ARGV[3]), tonumber(ARGV[4])
local REAPED_MS, WINDOW = tonumber(ARGV[5]), tonumber(ARGV[6])
local REMEMBER_CLAIM_MS, REMEMBER_ID_S = 600000, 86400
local ENVELOPES, ID_BYTES = 8, 512
-- Longest row of jobs one call takes back or promotes: bounds how long the server is busy.
local BATCH = 1000

local function key(i) return KEYS[19 + i] end
local function arg(i) return ARGV[6 + i] end

local NOW = tonumber(ARGV[1])
if not NOW then
  local time = redis.call('TIME')
  NOW = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function decoded(text)
  local ok, value = pcall(cjson.decode, text)
  if ok then return value end
  return nil
end

-- The job object inside an element's envelopes, as `element.rs` opens them.
local function open(element)
  local value = decoded(element)
  for _ = 1, ENVELOPES do
    if type(value) == 'string' then
      value = decoded(value)
    elseif type(value) ~= 'table' then
      return nil
    elseif value[1] ~= nil then
      if #value ~= 1 then return nil end
      value = value[1]
    else
      local first = next(value)
      local data = value.data
      local wrapper = first == 'data' and next(value, first) == nil
        and (type(data) == 'string' or (type(data) == 'table' and data[1] == nil))
      if not wrapper then return value end
      value = data
    end
  end
  return nil
end

local function id_in(job, names)
  for _, name in ipairs(names) do
    local id = job[name]
    if type(id) == 'string' and id ~= '' and #id <= ID_BYTES then return id end
  end
  return nil
end

-- What attempts are counted under.
local function job_key(element)
  local job = open(element)
  return job and id_in(job, { 'id', 'job_id', 'jobId' }) or ('sha1:' .. redis.sha1hex(element))
end

local function user_of(element)
  local job = open(element)
  return job and id_in(job, { 'user_id', 'userId' }) or ''
end

-- Joins the producers' end of a list.
local function push(list, element)
  return redis.call(RIGHT and 'LPUSH' or 'RPUSH', list, element)
end

-- Becomes the next to be taken.
local function push_next(element)
  return redis.call(RIGHT and 'RPUSH' or 'LPUSH', LIST, element)
end

local function attempts_of(job)
  return tonumber(redis.call('HGET', ATTEMPTS, job) or 0) or 0
end

-- What is known of a claim that holds `element`.
local function held_by(claim, element)
  local held = decoded(redis.call('HGET', CLAIMS, claim) or '')
  if type(held) == 'table' and type(held.job) == 'string' and tonumber(held.attempt) then return held end
  local job = job_key(element)
  return { job = job, worker = '', attempt = math.max(1, attempts_of(job)), at = NOW }
end

local function park(claim, element, due)
  redis.call('HSET', PARKED, claim, element)
  redis.call('ZADD', DELAYED, due, claim)
end

-- Ends a claim and remembers how: among the SETTLED ones or those that were TAKEN back.
local function let_go(claim, how)
  redis.call('ZADD', how, NOW + REMEMBER_CLAIM_MS, claim)
  redis.call('ZREMRANGEBYSCORE', how, '-inf', NOW)
  redis.call('HDEL', INFLIGHT, claim)
  redis.call('HDEL', CLAIMS, claim)
  redis.call('ZREM', LEASE, claim)
end

local function remembered(how, claim)
  local until_then = redis.call('ZSCORE', how, claim)
  return until_then and tonumber(until_then) > NOW
end

-- Ends a claim from outside; the attempt counts. Writes that need memory come before those that free it, so
-- that a server without memory cannot leave the job in neither place.
local function take_back(claim)
  local element = redis.call('HGET', INFLIGHT, claim)
  if element then
    local held = held_by(claim, element)
    if held.attempt <= MAX_ATTEMPTS then
      redis.call('HSET', REASONS, held.job, 'worker ' .. tostring(held.worker) .. ' died or stalled')
    end
    if held.attempt <= 1 or held.attempt >= MAX_ATTEMPTS then
      push_next(element)
    else
      park(claim, element, NOW + REAPED_MS * 2 ^ math.min(held.attempt - 2, 16))
    end
  end
  let_go(claim, TAKEN)
end

local function score(answer)
  return answer[2] and tonumber(answer[2]) or nil
end

local function first_score(set)
  return score(redis.call('ZRANGE', set, 0, 0, 'WITHSCORES'))
end

-- Milliseconds until then, -1 for never.
local function until_ms(at)
  if not at then return -1 end
  return math.max(0, at - NOW)
end

local function callback_due()
  if redis.call('EXISTS', DISABLED) == 1 then return nil end
  return first_score(DUE)
end

local function save_callback(entry)
  redis.call('HSET', OUTBOX, entry.id, cjson.encode(entry))
  redis.call('ZADD', DUE, entry.due_ms, entry.id)
end

local function add_callback(id, job, body)
  save_callback({ id = id, job_id = job, body = body, attempts = 0, created_ms = NOW, due_ms = NOW,
    last_error = cjson.null })
end

local function drop_callback(id)
  redis.call('HDEL', OUTBOX, id)
  redis.call('ZREM', DUE, id)
end

local function forget_attempts(job)
  redis.call('HDEL', ATTEMPTS, job)
  redis.call('HDEL', REASONS, job)
end
