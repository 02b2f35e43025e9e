-- ARGV: claim, callback id, its job, its body.
if redis.call('HEXISTS', INFLIGHT, arg(1)) == 0 then return 0 end
add_callback(arg(2), arg(3), arg(4))
return 1
