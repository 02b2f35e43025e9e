-- KEYS: the list of a transfer (otherwise the queue's own).
-- ARGV: claim, kind, then by kind
--   done, failed: callback id (empty: none), its job, its body, the id of the job's `processing` callback;
--                 failed also: 1 or empty for a dead letter, its code, its message
--   retry: milliseconds, reason
local claim, kind = arg(1), arg(2)
local element = redis.call('HGET', INFLIGHT, claim)
if not element then
  return remembered(SETTLED, claim) and 'already' or 'lost'
end
local held = held_by(claim, element)

local function bury()
  local letter = { job_id = held.job, element = element, reason = { code = arg(8), message = arg(9) },
    attempts = math.min(held.attempt, MAX_ATTEMPTS), at_ms = NOW }
  redis.call('LPUSH', DEAD, cjson.encode(letter))
end

if kind == 'done' or kind == 'failed' then
  redis.call('HINCRBY', STATS, kind, 1)
  if kind == 'failed' and arg(7) == '1' then bury() end
  if arg(3) ~= '' then
    -- How the job ended is news, that it had begun no longer is.
    drop_callback(arg(6))
    add_callback(arg(3), arg(4), arg(5))
  end
elseif kind == 'retry' then
  redis.call('HSET', REASONS, held.job, arg(4))
  park(claim, element, NOW + tonumber(arg(3)))
elseif kind == 'give_back' then
  push_next(element)
  -- An exhausted delivery was not counted.
  if held.attempt <= MAX_ATTEMPTS and attempts_of(held.job) > 0 then
    redis.call('HINCRBY', ATTEMPTS, held.job, -1)
  end
elseif kind == 'transfer' then
  push(key(1), element)
else
  return redis.error_reply('ERR unknown settlement ' .. tostring(kind))
end

if kind ~= 'retry' and kind ~= 'give_back' then forget_attempts(held.job) end
let_go(claim, SETTLED)
return 'applied'
