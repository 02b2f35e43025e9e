-- ARGV: worker.
local mine = {}
local claims = redis.call('HGETALL', CLAIMS)
for i = 1, #claims, 2 do
  local held = decoded(claims[i + 1])
  if held and held.worker == arg(1) and redis.call('HEXISTS', INFLIGHT, claims[i]) == 1 then
    mine[#mine + 1] = claims[i]
  end
end
table.sort(mine)
for _, claim in ipairs(mine) do take_back(claim) end
return #mine
