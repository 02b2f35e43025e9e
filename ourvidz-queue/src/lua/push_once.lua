-- KEYS: pushed:<job>. ARGV: element, a word that names this call.
local known = redis.call('GET', key(1))
-- The same call again, whose first answer was lost.
if known == arg(2) then return 1 end
if known then return 0 end
redis.call('SET', key(1), arg(2), 'EX', REMEMBER_ID_S)
push(LIST, arg(1))
return 1
