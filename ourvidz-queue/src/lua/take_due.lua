-- ARGV: limit, milliseconds to hide.
local taken = {}
if redis.call('EXISTS', DISABLED) == 0 and tonumber(arg(1)) > 0 then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', DUE, '-inf', NOW, 'LIMIT', 0, arg(1))) do
    local entry = decoded(redis.call('HGET', OUTBOX, id) or '')
    if type(entry) == 'table' then
      entry.attempts = entry.attempts + 1
      entry.due_ms = NOW + tonumber(arg(2))
      save_callback(entry)
      taken[#taken + 1] = cjson.encode(entry)
    else
      redis.call('ZREM', DUE, id)
    end
  end
end
return { until_ms(callback_due()), taken }
