import FoundationEssentials
import Report
import TestSupport
import Testing

@testable import Remote

@Suite struct LinkStateTests {
    private static func opened() throws -> (operator: LinkState, agent: LinkState, id: UInt32) {
        var operatorEnd = LinkState(.operator)
        var agentEnd = LinkState(.agent)
        let id = try operatorEnd.open()
        #expect(try agentEnd.receive(Frame(.message, stream: id, payload: Data([1]))) == .opened(id, Data([1])))
        return (operatorEnd, agentEnd, id)
    }

    private static func broken(_ body: () throws -> LinkState.Arrival) {
        let failure = #expect(throws: Failure.self) { try body() }
        #expect(failure?.kind == .integrity)
    }

    @Test func deliversWhatBelongsToAStream() throws {
        var (operatorEnd, agentEnd, id) = try Self.opened()
        #expect(try agentEnd.receive(Frame(.data, stream: id, payload: Data([2]))) == .deliver(id, .data(Data([2]))))
        #expect(try agentEnd.receive(Frame(.end, stream: id)) == .deliver(id, .end))
        #expect(try agentEnd.receive(Frame(.cancel, stream: id)) == .cancel(id))
        #expect(
            try operatorEnd.receive(Frame(.message, stream: id, payload: Data([3])))
                == .deliver(id, .message(Data([3]))))
        #expect(
            try operatorEnd.receive(Frame(.errorData, stream: id, payload: Data([4])))
                == .deliver(id, .errorData(Data([4]))))
    }

    @Test func dropsWhatStillComesForAStreamThatEnded() throws {
        var (operatorEnd, agentEnd, id) = try Self.opened()
        operatorEnd.close(id)
        agentEnd.close(id)
        for kind in Frame.Kind.allCases {
            #expect(try operatorEnd.receive(Frame(kind, stream: id)) == .nothing)
            if kind != .message { #expect(try agentEnd.receive(Frame(kind, stream: id)) == .nothing) }
        }
    }

    @Test func neverDropsARequest() throws {
        var agentEnd = LinkState(.agent)
        _ = try agentEnd.receive(Frame(.message, stream: 2, payload: Data([1])))
        // Not a frame of a stream that has ended: nobody would ever answer it.
        Self.broken { try agentEnd.receive(Frame(.message, stream: 1, payload: Data([1]))) }
    }

    @Test func refusesWhatBreaksTheRules() throws {
        var (operatorEnd, agentEnd, id) = try Self.opened()
        Self.broken { try agentEnd.receive(Frame(.message, stream: id)) }
        Self.broken { try agentEnd.receive(Frame(.data, stream: id + 1)) }
        Self.broken { try agentEnd.receive(Frame(.message, stream: 0)) }
        Self.broken { try operatorEnd.receive(Frame(.message, stream: id + 1)) }
        Self.broken { try operatorEnd.receive(Frame(.cancel, stream: id)) }
        Self.broken { try agentEnd.receive(Frame(.credit, stream: id, payload: Data([1]))) }
        Self.broken { try agentEnd.receive(.credit(1, stream: id)) }
        _ = try agentEnd.receive(Frame(.end, stream: id))
        Self.broken { try agentEnd.receive(Frame(.data, stream: id, payload: Data([1]))) }
        Self.broken { try agentEnd.receive(Frame(.end, stream: id)) }
    }

    @Test func refusesMoreBytesThanItGranted() throws {
        var (_, agentEnd, id) = try Self.opened()
        let chunk = Data(count: Frame.payloadLimit)
        for _ in 0..<LinkState.window / chunk.count {
            _ = try agentEnd.receive(Frame(.data, stream: id, payload: chunk))
        }
        Self.broken { try agentEnd.receive(Frame(.data, stream: id, payload: Data([1]))) }
    }

    @Test func boundsTheStreams() throws {
        var operatorEnd = LinkState(.operator)
        var agentEnd = LinkState(.agent)
        for _ in 0..<LinkState.streamLimit { _ = try operatorEnd.open() }
        #expect(throws: Failure.self) { try operatorEnd.open() }
        operatorEnd.close(1)
        #expect(try operatorEnd.open() == UInt32(LinkState.streamLimit + 1))
        let limit = UInt32(LinkState.agentStreamLimit)
        for id in 1...limit { _ = try agentEnd.receive(Frame(.message, stream: id)) }
        Self.broken { try agentEnd.receive(Frame(.message, stream: limit + 1)) }
    }

    /// Bytes of several streams go from the operator to an agent that takes them at random: all arrive, none is sent without
    /// credit, and what is under way never exceeds the window.
    @Test(arguments: 0..<40) func creditBoundsWhatIsUnderWay(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var operatorEnd = LinkState(.operator)
        var agentEnd = LinkState(.agent)
        let ids = [try operatorEnd.open(), try operatorEnd.open(), try operatorEnd.open()]
        for id in ids { _ = try agentEnd.receive(Frame(.message, stream: id)) }
        var toSend = Dictionary(uniqueKeysWithValues: ids.map { ($0, Int.random(in: 0..<12 << 20, using: &random)) })
        let total = toSend.values.reduce(0, +)
        var waiting = Dictionary(uniqueKeysWithValues: ids.map { ($0, 0) })
        var taken = 0
        var idleRounds = 0
        while taken < total, idleRounds < 1000 {
            idleRounds += 1
            let id = try #require(ids.randomElement(using: &random))
            if Bool.random(using: &random), let left = toSend[id], left > 0 {
                let wanted = min(left, Int.random(in: 1...Frame.payloadLimit, using: &random))
                guard let count = operatorEnd.take(wanted, of: id), count > 0 else { continue }
                _ = try agentEnd.receive(Frame(.data, stream: id, payload: Data(count: count)))
                toSend[id] = left - count
                waiting[id, default: 0] += count
                #expect(waiting[id, default: 0] <= LinkState.window)
                idleRounds = 0
            } else if let there = waiting[id], there > 0 {
                let count = Int.random(in: 1...there, using: &random)
                waiting[id] = there - count
                taken += count
                if let grant = agentEnd.taken(count, of: id) {
                    #expect(try operatorEnd.receive(.credit(grant, stream: id)) == .credit(id))
                }
                idleRounds = 0
            }
        }
        #expect(taken == total)
    }
}
