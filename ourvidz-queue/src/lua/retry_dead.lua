-- ARGV: job.
local count = 0
for _, text in ipairs(redis.call('LRANGE', DEAD, 0, -1)) do
  local letter = decoded(text)
  if letter and letter.job_id == arg(1) then
    push(LIST, letter.element)
    redis.call('LREM', DEAD, 1, text)
    count = count + 1
  end
end
if count > 0 then forget_attempts(arg(1)) end
return count
