-- What became of one callback. ARGV: operation, id, then
--   postpone: milliseconds, error;  bury: error
local operation, id = arg(1), arg(2)
local entry = decoded(redis.call('HGET', OUTBOX, id) or '')

if operation == 'delivered' then
  drop_callback(id)
elseif operation == 'postpone' then
  if entry then
    entry.due_ms = NOW + tonumber(arg(3))
    entry.last_error = arg(4)
    save_callback(entry)
  end
elseif operation == 'bury' then
  if entry then
    entry.due_ms = NOW
    entry.last_error = arg(3)
    redis.call('HSET', BURIED, id, cjson.encode(entry))
    -- Later than every other one, also within one millisecond.
    local newest = score(redis.call('ZREVRANGE', BURIED_AT, 0, 0, 'WITHSCORES')) or 0
    redis.call('ZADD', BURIED_AT, math.max(NOW, newest + 1), id)
    drop_callback(id)
  end
elseif operation == 'retry' then
  local dead = not entry
  if dead then entry = decoded(redis.call('HGET', BURIED, id) or '') end
  if not entry then return 0 end
  entry.attempts = 0
  entry.due_ms = NOW
  save_callback(entry)
  if dead then
    redis.call('HDEL', BURIED, id)
    redis.call('ZREM', BURIED_AT, id)
  end
else
  return redis.error_reply('ERR unknown operation ' .. tostring(operation))
end
return 1
