-- Asks for one blob after the other: wrk … -s digests.lua SERVER -- PATH FILE, where FILE has a digest a line. Each thread begins
-- somewhere else.
local paths = {}
local position = 0
local threads = 0

function setup(thread)
    threads = threads + 1
    thread:set("number", threads)
end

function init(arguments)
    for digest in io.lines(arguments[2]) do paths[#paths + 1] = arguments[1] .. digest end
    position = number * 997
end

function request()
    position = position + 1
    return wrk.format("GET", paths[position % #paths + 1])
end
