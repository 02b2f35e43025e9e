-- KEYS: both spellings of the job's cancel key. ARGV: claim.
local claim = arg(1)
if redis.call('HEXISTS', INFLIGHT, claim) == 0 then return 'lost' end
redis.call('ZADD', LEASE, NOW + LEASE_MS, claim)
if redis.call('EXISTS', key(1), key(2)) > 0 then return 'cancelled' end
return 'held'
