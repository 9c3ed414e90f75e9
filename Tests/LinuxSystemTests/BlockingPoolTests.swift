import Dispatch
import LinuxSystem
import Synchronization
import Testing

@Suite struct BlockingPoolTests {
    private final class Gauge: Sendable {
        private let state = Mutex((now: 0, most: 0, done: 0))
        func enter() { state.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1), $0.done) } }
        func leave() { state.withLock { $0 = ($0.now - 1, $0.most, $0.done + 1) } }
        var most: Int { state.withLock { $0.most } }
        var done: Int { state.withLock { $0.done } }
    }

    @Test(arguments: [1, 3, 8]) func allJobsRunAndNeverMoreThanTheWidthAtOnce(width: Int) async throws {
        let pool = BlockingPool(width: width)
        let gauge = Gauge()
        let results = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<60 {
                group.addTask {
                    try await pool.run {
                        gauge.enter()
                        usleepShortly()
                        gauge.leave()
                        return number
                    }
                }
            }
            return try await group.reduce(into: Set<Int>()) { $0.insert($1) }
        }
        #expect(results == Set(0..<60))
        #expect(gauge.done == 60)
        #expect(gauge.most <= width)
    }

    @Test func theWholeWidthIsUsed() async throws {
        // Each of four jobs waits for the other three: it ends only if all run at once.
        let pool = BlockingPool(width: 4)
        let arrived = DispatchGroup()
        for _ in 0..<4 { arrived.enter() }
        let met = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    try await pool.run {
                        arrived.leave()
                        return arrived.wait(timeout: .now() + 20) == .success
                    }
                }
            }
            return try await group.reduce(into: [Bool]()) { $0.append($1) }
        }
        #expect(met == [true, true, true, true])
    }

    @Test func errorsComeBackAndThePoolGoesOn() async throws {
        struct Broken: Error, Equatable { let number: Int }
        let pool = BlockingPool(width: 1)
        for number in 0..<5 {
            await #expect(throws: Broken(number: number)) { try await pool.run { throw Broken(number: number) } }
        }
        #expect(try await pool.run { 42 } == 42)
    }

    @Test func cancellationReachesTheFlagOfRunningWork() async throws {
        let pool = BlockingPool(width: 1)
        let (stream, started) = AsyncStream.makeStream(of: Void.self)
        let task = Task {
            try await pool.run { (flag: CancellationFlag) in
                #expect(!flag.isCancelled)
                try flag.check()
                started.yield()
                // Some twenty seconds at most, so that a broken flag fails the test and does not hang it.
                for _ in 0..<20_000 where !flag.isCancelled { usleepShortly() }
                try flag.check()
            }
        }
        for await _ in stream { break }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(try await pool.run { "free again" } == "free again")
    }

    @Test func workOfACancelledTaskDoesNotBegin() async throws {
        let began = Atomic<Bool>(false)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await BlockingPool.shared.run { began.store(true, ordering: .relaxed) }
        }
        await #expect(throws: CancellationError.self) { try await task.value }
        let hasBegun = began.load(ordering: .relaxed)
        #expect(!hasBegun)
    }
}

/// Blocks the thread for a millisecond.
private func usleepShortly() {
    _ = DispatchSemaphore(value: 0).wait(timeout: .now() + .milliseconds(1))
}
