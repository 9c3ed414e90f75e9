import FoundationEssentials
import Glibc
import LinuxSystem
import Remote
import Report
import SystemPackage
import TestSupport
import Testing

@testable import NodeAgent

@Suite("The lease that a node keeps")
struct LeaseTests {
    private static let staleAfter = Duration.seconds(90)

    private static func owner(_ id: String) -> LeaseOwner {
        LeaseOwner(
            id: id, user: id, machine: "ops1", process: 123, command: "sealer apply", cluster: "shop", since: 1.5e9)
    }

    /// Runs `body` with agents of one node, each with an operator of its own.
    private static func withAgents(
        _ count: Int, _ body: ([any Host], FilePath) async throws -> Void
    ) async throws {
        let scratch = try Scratch()
        var pairs: [AgentPair] = []
        for _ in 0..<count { pairs.append(try await AgentPair.start(folder: scratch.path)) }
        try await body(pairs.map(\.host), scratch.path.appending("lock.json"))
        for pair in pairs { try await pair.stop() }
    }

    private static func take(_ host: any Host, _ id: String, ended: [String] = []) async throws -> LeaseOutcome {
        try await host.takeLease(owner(id), staleAfter: staleAfter, ended: ended)
    }

    /// The holder that kept the lease from being taken.
    private static func holder(_ outcome: LeaseOutcome) -> LeaseHolder? {
        if case .held(let holder) = outcome { holder } else { nil }
    }

    /// Writes down that somebody took it, and gave the last sign of life, so many seconds ago.
    private static func write(
        _ id: String, age: Double, silent: Double, to path: FilePath,
        _ change: (inout LeaseFile.Record) -> Void = { _ in }
    ) throws {
        let now = try NodeMoment.now()
        func earlier(_ seconds: Double) -> NodeMoment {
            NodeMoment(boot: now.boot, uptime: now.uptime - seconds, clock: now.clock - seconds)
        }
        var record = LeaseFile.Record(owner: owner(id), taken: earlier(age), renewed: earlier(silent))
        change(&record)
        try AtomicFile.write(try JSONEncoder().encode(record), to: path)
    }

    private static func exists(_ path: FilePath) -> Bool { access(path.string, F_OK) == 0 }

    @Test("one has it, the other is told who, and gets it when it is given back")
    func takenAndReturned() async throws {
        try await Self.withAgents(2) { hosts, path in
            #expect(try await hosts[0].lease() == nil)
            #expect(try await Self.take(hosts[0], "alice") == .taken(from: nil))
            let holder = try #require(Self.holder(try await Self.take(hosts[1], "bob")))
            #expect(holder.owner == Self.owner("alice"))
            #expect(holder.silent >= 0 && holder.silent <= holder.age)
            #expect(try await hosts[1].lease()?.owner == Self.owner("alice"))
            #expect(try await hosts[0].renewLease(Self.owner("alice")) == .renewed)
            // Somebody else's is not removed.
            try await hosts[1].returnLease("bob")
            #expect(try await hosts[1].lease()?.owner == Self.owner("alice"))
            try await hosts[0].returnLease("alice")
            #expect(try await hosts[1].lease() == nil)
            #expect(try await Self.take(hosts[1], "bob") == .taken(from: nil))
            try await hosts[0].returnLease(nil)
            #expect(!Self.exists(path))
        }
    }

    @Test("who was silent for too long loses it, and learns who has it now")
    func takenOver() async throws {
        try await Self.withAgents(2) { hosts, path in
            try Self.write("alice", age: 300, silent: 5, to: path)
            let holder = try #require(Self.holder(try await Self.take(hosts[1], "bob")))
            #expect(holder.age >= 300 && holder.silent >= 5 && holder.silent < 300)
            try Self.write("alice", age: 300, silent: 91, to: path)
            guard case .taken(let before?) = try await Self.take(hosts[1], "bob") else {
                Issue.record("a stale lease was not taken over")
                return
            }
            #expect(before.owner == Self.owner("alice"))
            #expect(before.age >= 300 && before.silent >= 91)
            guard case .takenOver(let new) = try await hosts[0].renewLease(Self.owner("alice")) else {
                Issue.record("a lease that was taken over was renewed")
                return
            }
            #expect(new.owner == Self.owner("bob"))
            try await hosts[0].returnLease("alice")
            #expect(try await hosts[1].renewLease(Self.owner("bob")) == .renewed)
        }
    }

    @Test("a sign of life keeps it, and its age goes on")
    func renewed() async throws {
        try await Self.withAgents(2) { hosts, path in
            try Self.write("alice", age: 300, silent: 200, to: path)
            #expect(try await hosts[0].renewLease(Self.owner("alice")) == .renewed)
            let holder = try #require(Self.holder(try await Self.take(hosts[1], "bob")))
            #expect(holder.age >= 300 && holder.silent < 90)
        }
    }

    @Test("a limit of nothing takes it over at once")
    func noPatience() async throws {
        try await Self.withAgents(2) { hosts, _ in
            #expect(try await Self.take(hosts[0], "alice") == .taken(from: nil))
            let outcome = try await hosts[1].takeLease(Self.owner("bob"), staleAfter: .zero, ended: [])
            guard case .taken(let before?) = outcome else {
                Issue.record("\(outcome)")
                return
            }
            #expect(before.owner?.id == "alice")
        }
    }

    @Test("who has it takes it again, over a new connection, and keeps its age")
    func again() async throws {
        try await Self.withAgents(2) { hosts, path in
            try Self.write("alice", age: 500, silent: 400, to: path)
            #expect(try await Self.take(hosts[1], "alice") == .taken(from: nil))
            let holder = try #require(try await hosts[0].lease())
            #expect(holder.age >= 500 && holder.silent < 400)
        }
    }

    @Test("who is known to have ended loses it at once")
    func ended() async throws {
        try await Self.withAgents(1) { hosts, _ in
            _ = try await Self.take(hosts[0], "alice")
            #expect(Self.holder(try await Self.take(hosts[0], "bob", ended: ["carol"])) != nil)
            guard case .taken(let before?) = try await Self.take(hosts[0], "bob", ended: ["carol", "alice"]) else {
                Issue.record("an owner that ended kept its lease")
                return
            }
            #expect(before.owner?.id == "alice")
        }
    }

    @Test("what is gone is neither renewed nor made anew, and nor is its folder")
    func gone() async throws {
        let scratch = try Scratch()
        let folder = scratch.path.appending("sealer")
        let pair = try await AgentPair.start(folder: folder)
        #expect(try await pair.host.renewLease(Self.owner("alice")) == .gone)
        try await pair.host.returnLease("alice")
        try await pair.host.returnLease(nil)
        #expect(try await pair.host.lease() == nil)
        #expect(try Folder.names(in: scratch.path).isEmpty)
        _ = try await Self.take(pair.host, "alice")
        // Nothing else is left beside it.
        #expect(try Folder.names(in: folder) == ["lock.json"])
        try await pair.host.returnLease("alice")
        #expect(try await pair.host.renewLease(Self.owner("alice")) == .gone)
        #expect(try Folder.names(in: folder).isEmpty)
        try await pair.stop()
    }

    @Test("of many who try at once exactly one gets it, and the others are told that one")
    func concurrent() async throws {
        try await Self.withAgents(8) { hosts, path in
            for round in 0..<10 {
                // A stale one in every other round: taking over must be as safe.
                if round.isMultiple(of: 2) { try Self.write("dead", age: 900, silent: 900, to: path) }
                let outcomes = try await withThrowingTaskGroup(of: (String, LeaseOutcome).self) { group in
                    for (number, host) in hosts.enumerated() {
                        group.addTask { ("\(round)-\(number)", try await Self.take(host, "\(round)-\(number)")) }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                let winners = outcomes.filter { Self.holder($0.1) == nil }.map(\.0)
                #expect(winners.count == 1)
                let winner = try #require(winners.first)
                #expect(outcomes.compactMap { Self.holder($0.1)?.owner?.id } == Array(repeating: winner, count: 7))
                try await hosts[0].returnLease(winner)
            }
        }
    }

    // MARK: - What may be wrong with the file and the clock

    @Test("what cannot be read counts by its time, and a time to come becomes the present")
    func damaged() async throws {
        try await Self.withAgents(1) { hosts, path in
            var generator = TestSupport.SeededGenerator(seed: 5)
            try Self.write("alice", age: 1, silent: 1, to: path)
            let whole = try readFile(path)
            for round in 0..<300 {
                var bytes = Array(whole.prefix(Int.random(in: 0...whole.count, using: &generator)))
                for _ in 0..<Int.random(in: 0...4, using: &generator) where !bytes.isEmpty {
                    bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
                }
                if round == 0 { bytes = Array(repeating: UInt8(ascii: "["), count: 60_000) }
                if round == 1 { bytes = Array(repeating: 0, count: 200_000) }
                if round == 2 { bytes = [] }
                try AtomicFile.write(bytes, to: path)
                // Young: whatever it says, it is either somebody's or nobody's known, and never an error.
                let seen = try #require(try await hosts[0].lease())
                #expect(seen.silent >= 0)
                if seen.owner == nil {
                    #expect(Self.holder(try await Self.take(hosts[0], "bob")) != nil)
                    try Self.setTime(of: path, to: time(nil) - 91)
                    guard case .taken(let before?) = try await Self.take(hosts[0], "bob") else {
                        Issue.record("a damaged file was kept for ever")
                        return
                    }
                    #expect(before.owner == nil && before.silent >= 91)
                }
            }
            try AtomicFile.write("nonsense".utf8, to: path)
            let future = time(nil) + 1_000_000
            try Self.setTime(of: path, to: future)
            #expect(Self.holder(try await Self.take(hosts[0], "bob")) != nil)
            var information = stat()
            #expect(stat(path.string, &information) == 0)
            #expect(information.st_mtim.tv_sec < future)
            // Whose it is, it may be renewed: it says of nobody else that it is theirs.
            #expect(try await hosts[0].renewLease(Self.owner("alice")) == .renewed)
            #expect(try await hosts[0].lease()?.owner == Self.owner("alice"))
        }
    }

    private static func setTime(of path: FilePath, to seconds: time_t) throws {
        let times = [timespec(tv_sec: seconds, tv_nsec: 0), timespec(tv_sec: seconds, tv_nsec: 0)]
        try #require(utimensat(AT_FDCWD, path.string, times, 0) == 0)
    }

    @Test("a clock that was set back makes no lease eternal, and one that was set forward makes none stale")
    func clocks() async throws {
        try await Self.withAgents(1) { hosts, path in
            // Set back by years after it was written down.
            try Self.write("alice", age: 100, silent: 100, to: path) { $0.renewed.clock += 1e9 }
            guard case .taken(_?) = try await Self.take(hosts[0], "bob") else {
                Issue.record("a clock that was set back keeps a lease")
                return
            }
            // Set forward by years.
            try Self.write("alice", age: 10, silent: 10, to: path) { $0.renewed.clock -= 1e9 }
            #expect(Self.holder(try await Self.take(hosts[0], "bob")) != nil)
            // Neither clock can be right: it counts as damaged, so by the file's time.
            try Self.write("alice", age: 10, silent: 10, to: path) { record in
                record.renewed.clock += 1e9
                record.renewed.uptime += 1e9
            }
            #expect(Self.holder(try await Self.take(hosts[0], "bob"))?.owner == nil)
            try Self.setTime(of: path, to: time(nil) - 91)
            guard case .taken(_?) = try await Self.take(hosts[0], "bob") else {
                Issue.record("a lease from the future is kept for ever")
                return
            }
        }
    }

    @Test("after the node's own restart the clock counts, and at least the time since then")
    func restarted() {
        let before = NodeMoment(boot: "a", uptime: 5000, clock: 1_000_000)
        func seconds(_ boot: String, _ uptime: Double, _ clock: Double) -> Double? {
            NodeMoment(boot: boot, uptime: uptime, clock: clock).seconds(since: before)
        }
        #expect(seconds("a", 5030, 1_000_030) == 30)
        #expect(seconds("a", 5030, 3) == 30)
        #expect(seconds("b", 40, 1_000_200) == 200)
        #expect(seconds("b", 40, 3) == 40)
        #expect(seconds("a", 10, 1_000_020) == 20)
        #expect(seconds("a", 10, 3) == nil)
    }

    @Test("what is no file is named, and nobody waits for it")
    func noFile() async throws {
        try await Self.withAgents(1) { hosts, path in
            try #require(mkfifo(path.string, 0o600) == 0)
            let failure = await #expect(throws: Failure.self) { try await Self.take(hosts[0], "alice") }
            #expect(failure?.place == "demo-node-0:\(path)")
            #expect(failure?.remedy == "remove it")
            try await hosts[0].returnLease(nil)
            #expect(!Self.exists(path))
        }
    }

    @Test("an owner that could not be read again is not written down")
    func tooLong() async throws {
        try await Self.withAgents(1) { hosts, path in
            var owner = Self.owner("alice")
            owner.user = String(repeating: "a", count: 70_000)
            let failure = await #expect(throws: Failure.self) {
                try await hosts[0].takeLease(owner, staleAfter: Self.staleAfter, ended: [])
            }
            #expect(failure?.kind == .integrity)
            #expect(!Self.exists(path))
        }
    }
}
