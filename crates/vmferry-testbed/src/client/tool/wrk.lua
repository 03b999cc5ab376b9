-- Counts requests and says so about once a second: wrk itself speaks only at its end. Arguments:
-- the least time between two requests of a connection, in ms.
local ffi = require("ffi")
ffi.cdef [[
    typedef struct { long seconds; long nanoseconds; } vmferry_time;
    int clock_gettime(int clock, vmferry_time *time);
]]
local MONOTONIC = 1
local now = ffi.new("vmferry_time")
local second, count, pause = 0, 0, 0
local get

function init(arguments)
    get = wrk.format("GET", wrk.path)
    pause = tonumber(arguments[1]) or 0
    if pause == 0 then delay = nil end
end

function delay()
    return pause
end

function request()
    count = count + 1
    ffi.C.clock_gettime(MONOTONIC, now)
    local this = tonumber(now.seconds)
    if this ~= second then
        second = this
        io.write("vmferry ", count, "\n")
        io.flush()
    end
    return get
end
