-- What scripts see instead of Lua's own globals. Arguments: helpers written in Rust.
local unwrap, cjson, sha1hex = ...
local raw_pcall, raw_xpcall, raw_error, raw_loadstring = pcall, xpcall, error, loadstring
local raw_call

local function locked(t)
    return setmetatable({}, {
        __index = t,
        __newindex = function() raw_error("Attempt to modify a readonly table", 2) end,
        __metatable = false,
    })
end

local function result(ok, ...)
    if ok then return ok, ... end
    local e = unwrap((...))
    -- Scripts that were written for Redis 6 expect a text.
    if type(e) == "table" and type(e.err) == "string" then return false, e.err end
    return false, e
end

local redis = {
    LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
    sha1hex = sha1hex,
    log = function() end,
    setresp = function() end,
    replicate_commands = function() return true end,
}
local wrong_arguments = "ERR wrong number or type of arguments"
function redis.error_reply(...)
    local text = ...
    if select("#", ...) ~= 1 or type(text) ~= "string" then return { err = wrong_arguments } end
    if string.sub(text, 1, 1) ~= "-" then text = "-" .. text end
    if not string.find(text, " ", 1, true) then return { err = "ERR " .. string.sub(text, 2) } end
    return { err = string.sub(text, 2) }
end
function redis.status_reply(...)
    local text = ...
    if select("#", ...) ~= 1 or type(text) ~= "string" then return { err = wrong_arguments } end
    return { ok = text }
end

local safe = {
    assert = assert, error = error, getmetatable = getmetatable, ipairs = ipairs, next = next, pairs = pairs,
    rawequal = rawequal, rawget = rawget, rawset = rawset, select = select, setmetatable = setmetatable,
    tonumber = tonumber, tostring = tostring, type = type, unpack = unpack, _VERSION = _VERSION,
    collectgarbage = function() return 0 end,
    string = locked(string), table = locked(table), math = locked(math), coroutine = locked(coroutine),
    cjson = locked(cjson),
}
function safe.pcall(...) return result(raw_pcall(...)) end
function safe.xpcall(f, handler)
    return raw_xpcall(f, function(e) return handler(unwrap(e)) end)
end

-- Runs one script in an environment of its own.
return function(script, keys, argv, call, handler, seven)
    local own = { KEYS = keys, ARGV = argv }
    redis.call, redis.pcall = call(true), call(false)
    own.redis = locked(redis)
    local env = setmetatable({}, {
        __index = function(_, name)
            local value = own[name]
            if value == nil then value = safe[name] end
            if value == nil then
                raw_error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
            end
            return value
        end,
        __newindex = function(_, name)
            if seven then raw_error("Attempt to modify a readonly table", 2) end
            raw_error("Script attempted to create global variable '" .. tostring(name) .. "'", 2)
        end,
        __metatable = false,
    })
    own._G = env
    function own.loadstring(...)
        local f, e = raw_loadstring(...)
        if f then setfenv(f, env) end
        return f, e
    end
    own.load = own.loadstring
    setfenv(script, env)
    return raw_xpcall(script, handler)
end
