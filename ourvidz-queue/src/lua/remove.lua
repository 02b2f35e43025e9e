-- ARGV: job.
local job, count = arg(1), 0
for _, element in ipairs(redis.call('LRANGE', LIST, 0, -1)) do
  if job_key(element) == job then count = count + redis.call('LREM', LIST, 1, element) end
end
local parked = redis.call('HGETALL', PARKED)
for i = 1, #parked, 2 do
  if job_key(parked[i + 1]) == job then
    redis.call('ZREM', DELAYED, parked[i])
    redis.call('HDEL', PARKED, parked[i])
    count = count + 1
  end
end
for _, text in ipairs(redis.call('LRANGE', DEAD, 0, -1)) do
  local letter = decoded(text)
  if letter and letter.job_id == job then count = count + redis.call('LREM', DEAD, 1, text) end
end
for _, text in ipairs(redis.call('HVALS', CLAIMS)) do
  local held = decoded(text)
  -- A running job keeps its count.
  if held and held.job == job then return count end
end
forget_attempts(job)
return count
