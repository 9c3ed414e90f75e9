import ClusterRuntime
import FoundationEssentials
import Glibc
import LinuxSystem
import Remote
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import ApplyEngine

/// How many are in a place, and were at most.
private final class Crowd: Sendable {
    private let counts = Mutex((now: 0, most: 0, all: 0))
    var most: Int { counts.withLock { $0.most } }
    var all: Int { counts.withLock { $0.all } }
    func enter() { counts.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1), $0.all + 1) } }
    func leave() { counts.withLock { $0.now -= 1 } }
}

@Suite("The lock of a cluster on its masters")
struct ClusterLockTests {
    private static func owner(_ id: String, user: String = "alice") -> LeaseOwner {
        LeaseOwner(
            id: id, user: user, machine: "ops1", process: 123, command: "sealer apply", cluster: "shop", since: 1.5e9)
    }

    private static func lock(_ purpose: ClusterLock.Purpose = .change, ended: [String] = []) -> ClusterLock {
        var lock = ClusterLock(purpose: purpose, ended: ended)
        (lock.interval, lock.retry) = (.milliseconds(10), .milliseconds(10))
        return lock
    }

    private static func wait(for what: String, until condition: @escaping @Sendable () async -> Bool) async throws {
        try await withLimit(.seconds(120), waitingFor: what) {
            while !(await condition()) { try await Task.sleep(for: .milliseconds(2)) }
        }
    }

    @Test("is taken on all in the order of their names, renewed while the work goes on, and given back")
    func whole() async throws {
        let masters = FakeMasters(["m3", "m1", "m2"])
        let pool = try await masters.pool()
        let warnings = Warnings()
        let before = Mutex<[[String]]>([])
        let result = try await Self.lock().holding(
            on: ["m3", "m1", "m2"], pool: pool, owner: Self.owner("a"), progress: warnings
        ) {
            before.withLock { $0 = ["m1", "m2", "m3"].map { masters[$0].events } }
            for name in ["m1", "m2", "m3"] {
                try await Self.wait(for: "two signs of life") {
                    masters[name].events.count { $0 == "renew a" } >= 2
                }
                #expect(masters[name].owner == "a")
            }
            return 7
        }
        #expect(result == 7)
        #expect(before.withLock { $0.allSatisfy { $0.first == "take a" } })
        for name in ["m1", "m2", "m3"] {
            #expect(masters[name].owner == nil)
            #expect(masters[name].events.last == "return a")
        }
        #expect(warnings.all == [])
    }

    @Test("with no master there the work just runs")
    func none() async throws {
        let pool = try await FakeMasters([]).pool()
        #expect(
            try await Self.lock().holding(on: [], pool: pool, owner: Self.owner("a"), progress: Warnings()) { 1 } == 1)
    }

    @Test("held by somebody else: nothing runs, what was taken is given back, and the message says who and what next")
    func held() async throws {
        let masters = FakeMasters(["m1", "m2", "m3"])
        masters["m2"].change { ($0.owner, $0.silent) = (Self.owner("b"), 10) }
        let pool = try await masters.pool()
        let failure = await #expect(throws: Failure.self) {
            try await Self.lock().holding(
                on: ["m1", "m2", "m3"], pool: pool, owner: Self.owner("a", user: "bob"), progress: Warnings()
            ) { Issue.record("the work ran") }
        }
        #expect(failure?.kind == .conflict)
        #expect(
            failure?.description == """
                shop: the cluster is being changed by alice@ops1 (sealer apply, process 123) since 4 min, last sign of \
                life 10 s ago
                  next: wait for it; if that machine is dead, run the command again in 80 s: the lock is taken over \
                after 90 s without a sign of life
                """)
        #expect(masters["m1"].events == ["take a", "return a"])
        #expect(masters["m2"].owner == "b")
        #expect(masters["m3"].events == [])
    }

    @Test("a stale one is taken over with a word of it; one that is known to have ended without")
    func stale() async throws {
        for (ended, count) in [([], 1), (["b"], 0)] {
            let masters = FakeMasters(["m1"])
            masters["m1"].change { ($0.owner, $0.silent) = (Self.owner("b"), ended.isEmpty ? 90 : 3) }
            let warnings = Warnings()
            try await Self.lock(ended: ended).holding(
                on: ["m1"], pool: try await masters.pool(), owner: Self.owner("a"), progress: warnings
            ) { #expect(masters["m1"].owner == "a") }
            #expect(warnings.all.count == count)
            #expect(warnings.all.allSatisfy { $0.contains("alice@ops1 (sealer apply, process 123) since 4 min") })
        }
    }

    @Test("is given back when the work fails, and when it is cancelled")
    func failing() async throws {
        let masters = FakeMasters(["m1", "m2"])
        let pool = try await masters.pool()
        let failure = await #expect(throws: Failure.self) {
            try await Self.lock().holding(
                on: ["m1", "m2"], pool: pool, owner: Self.owner("a"), progress: Warnings()
            ) { throw Failure(.denied, "no key") }
        }
        #expect(failure?.kind == .denied)
        let work = Task {
            try await Self.lock().holding(
                on: ["m1", "m2"], pool: pool, owner: Self.owner("b"), progress: Warnings()
            ) { try await Task.sleep(for: .seconds(600)) }
        }
        try await Self.wait(for: "the work to begin") { masters["m2"].owner == "b" }
        work.cancel()
        await #expect(throws: CancellationError.self) { try await work.value }
        for name in ["m1", "m2"] {
            #expect(masters[name].owner == nil)
            #expect(masters[name].events.contains("return a") && masters[name].events.last == "return b")
        }
    }

    @Test("taken over in the middle: the work is cancelled, and the failure says by whom")
    func lost() async throws {
        let masters = FakeMasters(["m1", "m2"])
        let pool = try await masters.pool()
        let wasCancelled = Mutex(false)
        let failure = await #expect(throws: Failure.self) {
            try await Self.lock().holding(
                on: ["m1", "m2"], pool: pool, owner: Self.owner("a"), progress: Warnings()
            ) {
                masters["m2"].change { ($0.owner, $0.silent) = (Self.owner("b", user: "eve"), 1) }
                do { try await Task.sleep(for: .seconds(600)) } catch {
                    wasCancelled.withLock { $0 = true }
                    throw Failure(.cancelled, "interrupted")
                }
            }
        }
        #expect(wasCancelled.withLock { $0 })
        #expect(failure?.kind == .conflict)
        #expect(failure?.what.contains("on m2 by eve@ops1") == true, "\(String(describing: failure))")
        #expect(masters["m1"].owner == nil)
        #expect(masters["m2"].owner == "b")
    }

    @Test("gone in the middle: somebody may have come and gone, so the work ends; not where it is being removed")
    func gone() async throws {
        for purpose in [ClusterLock.Purpose.change, .removal] {
            let masters = FakeMasters(["m1"])
            let pool = try await masters.pool()
            let work = Task {
                try await Self.lock(purpose).holding(
                    on: ["m1"], pool: pool, owner: Self.owner("a"), progress: Warnings()
                ) {
                    masters["m1"].change { ($0.owner, $0.events) = (nil, []) }
                    try await Self.wait(for: "signs of life") { masters["m1"].events.count >= 3 }
                }
            }
            switch purpose {
            case .change:
                let failure = await #expect(throws: Failure.self) { try await work.value }
                #expect(failure?.kind == .conflict)
            case .removal: try await work.value
            }
        }
    }

    @Test("a master that is lost in the middle stops nothing, and is told again when it is back")
    func vanishing() async throws {
        let masters = FakeMasters(["m1", "m2"])
        let pool = try await masters.pool()
        let warnings = Warnings()
        var lock = Self.lock()
        lock.staleAfter = .milliseconds(1)
        try await lock.holding(on: ["m1", "m2"], pool: pool, owner: Self.owner("a"), progress: warnings) {
            masters["m1"].change { $0.isReachable = false }
            try await Self.wait(for: "the warning") { !warnings.all.isEmpty }
            masters["m2"].change { $0.events = [] }
            try await Self.wait(for: "the other's signs of life") { masters["m2"].events.count >= 3 }
            masters["m1"].change { ($0.isReachable, $0.events) = (true, []) }
            try await Self.wait(for: "signs of life") { masters["m1"].events.contains("renew a") }
        }
        #expect(masters["m1"].owner == nil)
        // The connection that was lost was made anew, the other one was not touched.
        #expect(masters.connections("m1") == 2)
        #expect(masters.connections("m2") == 1)
        #expect(warnings.all.count == 1)
        #expect(warnings.all.first?.contains("m1") == true)
    }

    @Test("a master that dies for good keeps the lock from nobody, which is told")
    func dead() async throws {
        let masters = FakeMasters(["m1", "m2"])
        let warnings = Warnings()
        try await Self.lock().holding(
            on: ["m1", "m2"], pool: try await masters.pool(), owner: Self.owner("a"), progress: warnings
        ) { masters["m1"].change { $0.isReachable = false } }
        #expect(masters["m2"].owner == nil)
        #expect(warnings.all.count == 1)
        #expect(warnings.all.first?.contains("could not be given back") == true)
    }

    @Test("one of several masters out of reach is told; when all are, only a removal goes on")
    func unreachable() async throws {
        let masters = FakeMasters(["m1", "m2"])
        masters["m1"].change { $0.isReachable = false }
        let warnings = Warnings()
        let owner = Self.owner("a")
        try await Self.lock().holding(
            on: ["m1", "m2"], pool: try await masters.pool(), owner: owner, progress: warnings
        ) { #expect(masters["m2"].owner == "a") }
        #expect(warnings.all.contains { $0.contains("m1") })
        masters["m2"].change { $0.isReachable = false }
        let failure = await #expect(throws: Failure.self) {
            try await Self.lock().holding(
                on: ["m1", "m2"], pool: try await masters.pool(), owner: owner, progress: Warnings()
            ) { Issue.record("the work ran") }
        }
        #expect(failure?.kind == .unreachable)
        let silent = Warnings()
        #expect(
            try await Self.lock(.removal).holding(
                on: ["m1", "m2"], pool: try await masters.pool(), owner: owner, progress: silent
            ) { true })
        #expect(silent.all == [])
    }

    @Test("where a host is being removed no new connection brings the agent there again")
    func removed() async throws {
        let masters = FakeMasters(["m1"])
        let pool = try await masters.pool()
        try await Self.lock(.removal).holding(
            on: ["m1"], pool: pool, owner: Self.owner("a"), progress: Warnings()
        ) {
            masters["m1"].change { $0.isReachable = false }
            try await Self.wait(for: "the connection to be dropped") { await !pool.isConnected("m1") }
            masters["m1"].change { $0.isReachable = true }
            try await Task.sleep(for: .milliseconds(100))
        }
        #expect(masters.connections("m1") == 1)
    }

    @Test("of many operators at once never two work, and those who do not are told who does")
    func many() async throws {
        let masters = FakeMasters(["m1", "m2", "m3"])
        let inside = Crowd()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<12 {
                group.addTask {
                    let pool = try await masters.pool()
                    for round in 0..<10 {
                        do {
                            try await Self.lock().holding(
                                on: ["m1", "m2", "m3"], pool: pool, owner: Self.owner("\(number)/\(round)"),
                                progress: Warnings()
                            ) {
                                inside.enter()
                                await Task.yield()
                                inside.leave()
                            }
                        } catch let failure as Failure where failure.kind == .conflict {
                            #expect(failure.what.contains("is being changed by"))
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(inside.most == 1)
        #expect(inside.all >= 1)
        for name in ["m1", "m2", "m3"] { #expect(masters[name].owner == nil) }
    }

    @Test("a connection that was lost is made anew once, however many want it at once")
    func newConnection() async throws {
        let masters = FakeMasters(["m1"])
        let pool = try await masters.pool()
        _ = try await pool.connection("m1")
        #expect(await pool.isConnected("m1"))
        masters["m1"].change { $0.isLost = true }
        #expect(await !pool.isConnected("m1"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<16 { group.addTask { _ = try await pool.connection("m1") } }
            try await group.waitForAll()
        }
        #expect(masters.connections("m1") == 2)
        #expect(await pool.isConnected("m1"))
    }

    @Test("what was marked on hosts since they were looked at is noticed")
    func changedSince() async throws {
        let masters = FakeMasters(["m1", "m2"])
        let pool = try await masters.pool()
        let keeper = MarkKeeper(cluster: "shop", dataRoot: "/data")
        var mark = NodeMark(cluster: "shop", dataRoot: "/data")
        await keeper.set(mark, of: "m1")
        let before = try JSONEncoder().encode(mark)
        masters["m1"].change { $0.files[NodeMark.path.string] = before }
        try await keeper.checkUnchanged(["m1", "m2"], of: "shop", pool: pool)
        mark.membership = .complete
        let after = try JSONEncoder().encode(mark)
        for (name, file) in [("m1", after), ("m2", before), ("m1", nil)] as [(String, Data?)] {
            let old = masters[name].change { $0.files[NodeMark.path.string] }
            masters[name].change { $0.files[NodeMark.path.string] = file }
            let failure = await #expect(throws: Failure.self) {
                try await keeper.checkUnchanged(["m1", "m2"], of: "shop", pool: pool)
            }
            #expect(failure?.kind == .conflict)
            #expect(failure?.what.hasSuffix(": \(name)") == true)
            masters[name].change { $0.files[NodeMark.path.string] = old }
        }
    }
}

@Suite("The lock of a cluster on the operator's machine")
struct ClusterFolderLockTests {
    @Test("says who has it, and remembers who had it")
    func folder() async throws {
        let scratch = try Scratch()
        let folder = ClusterFolder(state: scratch.path, cluster: "shop")
        var first = try await LeaseOwner.current("sealer apply", cluster: "shop")
        #expect(first.process == Int(getpid()))
        #expect(!first.user.isEmpty && !first.machine.isEmpty && first.cluster == "shop")
        let second = try await LeaseOwner.current("sealer delete", cluster: "shop")
        #expect(first.id != second.id)
        (first.user, first.machine) = ("alice", "ops1")
        first.since = second.since - 250
        let lock = try folder.lock(first, limit: .zero)
        #expect(lock.ended == [])
        let failure = #expect(throws: Failure.self) { try folder.lock(second, limit: .zero) }
        #expect(failure?.kind == .conflict)
        #expect(
            failure?.what
                == "the cluster is being changed by alice@ops1 (sealer apply, process \(getpid())) since 4 min")
        #expect(failure?.place == "shop")
        // What cannot be read leaves at least the plain words.
        let file = scratch.path.appending("clusters/.shop.lock")
        let content = try readFile(file)
        for bytes in [Data(), content.dropLast(9), Data(count: 100_000)] {
            let open = try FileDescriptor.open(file, .writeOnly, options: [.truncate])
            try open.closeAfter { _ = try open.writeAll(bytes) }
            let failure = #expect(throws: Failure.self) { try folder.lock(second, limit: .zero) }
            #expect(failure?.kind == .conflict)
            #expect(failure?.what.contains("another sealer process") == true)
        }
        let open = try FileDescriptor.open(file, .writeOnly, options: [.truncate])
        try open.closeAfter { _ = try open.writeAll(content) }
        lock.release()
        let next = try folder.lock(second, limit: .zero)
        #expect(next.ended == [first.id])
        next.release()
        #expect(try folder.lock(first, limit: .zero).ended == [second.id, first.id])
    }
}
