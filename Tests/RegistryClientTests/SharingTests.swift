import Synchronization
import Testing

@testable import RegistryClient

@Suite struct LimiterTests {
    @Test func noMoreThanItsWidthAtOnce() async throws {
        let limiter = Limiter(width: 3)
        let counts = Guarded((now: 0, most: 0, done: 0))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<50 {
                group.addTask {
                    try await limiter.run {
                        counts.withLock {
                            $0.now += 1
                            $0.most = max($0.most, $0.now)
                        }
                        await Task.yield()
                        counts.withLock {
                            $0.now -= 1
                            $0.done += 1
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(counts.withLock { $0.most } <= 3)
        #expect(counts.withLock { $0.done } == 50)
    }

    @Test func whoIsCancelledLeavesTheQueueAndFailureGivesThePlaceBack() async throws {
        let limiter = Limiter(width: 1)
        let (gate, open) = AsyncStream<Void>.makeStream()
        let holder = Task {
            try await limiter.run {
                for await _ in gate { break }
                throw CancellationError()
            }
        }
        // However far each of them is when it is cancelled, none may keep the place or wait for ever.
        let waiters = (0..<20).map { _ in Task { try await limiter.run {} } }
        for waiter in waiters { waiter.cancel() }
        for waiter in waiters { _ = await waiter.result }
        open.yield()
        _ = await holder.result
        try await limiter.run {}
    }
}

@Suite struct SharedWorkTests {
    @Test func workIsDoneOnceForAllWhoWait() async throws {
        let work = SharedWork<String, Int>()
        let started = Guarded(0)
        let (gate, open) = AsyncStream<Void>.makeStream()
        let tasks = (0..<10).map { _ in
            Task {
                try await work.value(for: "x") {
                    started.withLock { $0 += 1 }
                    for await _ in gate { break }
                    return 7
                }
            }
        }
        while started.withLock({ $0 }) == 0 { await Task.yield() }
        // Let the others join; who comes too late starts anew, which the gate then lets pass at once.
        for _ in 0..<1000 { await Task.yield() }
        open.finish()
        var owners = 0
        for task in tasks {
            let (value, isOwn) = try await task.value
            #expect(value == 7)
            owners += isOwn ? 1 : 0
        }
        #expect(owners == started.withLock { $0 })
        #expect(owners < 10)
    }

    @Test func itIsCancelledOnlyWhenNobodyWaits() async throws {
        let work = SharedWork<String, Int>()
        let events = Guarded<[String]>([])
        let (gate, open) = AsyncStream<Void>.makeStream()
        @Sendable func join() -> Task<Int, any Error> {
            Task {
                try await work.value(for: "x") {
                    events.withLock { $0.append("started") }
                    for await _ in gate { break }
                    events.withLock { $0.append(Task.isCancelled ? "cancelled" : "done") }
                    try Task.checkCancellation()
                    return 7
                }.value
            }
        }
        let first = join()
        while events.withLock({ $0.isEmpty }) { await Task.yield() }
        let second = join()
        for _ in 0..<1000 { await Task.yield() }
        first.cancel()
        open.yield()
        #expect(try await second.value == 7)
        _ = await first.result
        #expect(events.withLock { $0 } == ["started", "done"])

        events.withLock { $0 = [] }
        let third = join()
        while events.withLock({ $0.isEmpty }) { await Task.yield() }
        third.cancel()
        await #expect(throws: (any Error).self) { try await third.value }
        while events.withLock({ $0.count }) < 2 { await Task.yield() }
        #expect(events.withLock { $0 } == ["started", "cancelled"])
    }

    @Test func anErrorSaysWhoseWorkItWas() async throws {
        struct Broken: Error {}
        let work = SharedWork<String, Int>()
        let error = await #expect(throws: SharedWorkError.self) {
            try await work.value(for: "x") { throw Broken() }
        }
        #expect(error?.isOwn == true)
        #expect(error?.underlying is Broken)
        // And the next one starts anew.
        #expect(try await work.value(for: "x") { 1 }.value == 1)
    }
}

/// A value that nested closures of several tasks may share.
private final class Guarded<Value: Sendable>: Sendable {
    private let value: Mutex<Value>

    init(_ value: Value) { self.value = Mutex(value) }

    func withLock<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        value.withLock { value in
            var copy = value
            let result = body(&copy)
            value = copy
            return result
        }
    }
}
