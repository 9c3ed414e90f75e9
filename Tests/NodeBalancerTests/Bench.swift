import FoundationEssentials
import LinuxSystem
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import NodeBalancer

/// A balancer that runs while a test does.
final class Bench: Sendable {
    let folder: FilePath
    private let lines = Mutex<[String]>([])

    private init(_ folder: FilePath) { self.folder = folder }

    var file: FilePath { folder.appending("balancer.json") }
    var log: [String] { lines.withLock { $0 } }

    func write(_ configuration: BalancerConfiguration) throws {
        try AtomicFile.write(configuration.json(), to: file)
    }

    func status() throws -> BalancerStatus? {
        let path = folder.appending("status.json")
        do {
            return try BalancerStatus(json: readFile(path), at: path.string)
        } catch let failure as Failure where failure.kind == .notFound {
            return nil
        }
    }

    func state(of port: Int) throws -> BackendHealth.State? {
        try status()?.services.flatMap(\.backends).first { $0.address == "127.0.0.1:\(port)" }?.state
    }

    /// Runs a balancer with one service, and waits until it listens.
    ///
    /// - Parameter change: makes the configuration what the test needs; to begin with checks come every 30 ms.
    static func run(
        backends: [Int],
        change: (inout BalancerConfiguration) -> Void = { _ in },
        _ body: (Bench, _ port: Int) async throws -> Void
    ) async throws {
        let scratch = try Scratch()
        let bench = Bench(scratch.path)
        let port = try freePort()
        var configuration = try configuration(port: port, backends: backends, folder: scratch.path)
        change(&configuration)
        try bench.write(configuration)
        let file = bench.file
        let task = Task {
            try await NodeBalancer.run(configuration: file) { line in bench.lines.withLock { $0.append(line) } }
        }
        let outcome: Result<Void, any Error>
        do {
            try await bench.until("it listens or cannot") { bench.log.contains { $0.contains("listen") } }
            outcome = .success(try await body(bench, port))
        } catch {
            outcome = .failure(error)
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        if case .failure = outcome { print(bench.log.joined(separator: "\n")) }
        try outcome.get()
    }

    static func configuration(port: Int, backends: [Int], folder: FilePath) throws -> BalancerConfiguration {
        var configuration = BalancerConfiguration(services: [
            .init(name: "web", listen: try endpoint(port), backends: try backends.map { try endpoint($0) })
        ])
        configuration.intervals.check = .milliseconds(30)
        configuration.intervals.drain = .zero
        configuration.status = folder.appending("status.json").string
        return configuration
    }

    static func endpoint(_ port: Int) throws -> BalancerEndpoint { try #require(BalancerEndpoint("127.0.0.1:\(port)")) }

    /// Waits for a condition.
    func until(_ what: String, _ condition: () throws -> Bool) async throws {
        let end = ContinuousClock.now + .seconds(60)
        while try !condition() {
            guard ContinuousClock.now < end else { throw Failure(.timeout, "waited a minute until \(what)") }
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}

extension Bench {
    /// Waits until nobody listens at a port: an old one is closed a moment after the log tells of the new one.
    func untilRefused(_ port: Int) async throws {
        try await until("nobody listens at \(port)") {
            do {
                try RawSocket(connectingTo: port).close()
                return false
            } catch Errno.connectionRefused {
                return true
            }
        }
    }
}

/// Blocking work of the tests, apart from the product's own threads.
let testPool = BlockingPool(width: 64)

func blocking<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await testPool.run { try work() }
}

/// Connects, and reads the name of the backend that it got to; nil when it was cut.
func connectAndRead(_ port: Int) async throws -> (RawSocket, String?) {
    try await blocking {
        let socket = try RawSocket(connectingTo: port)
        do {
            let line = try socket.receiveLine()
            return (socket, line.isEmpty ? nil : line)
        } catch Errno.connectionReset {
            return (socket, nil)
        }
    }
}

/// Sees a connection end: by an ordinary end or a reset.
func waitForEnd(_ socket: RawSocket) async throws {
    try await blocking {
        do {
            while try !socket.receive().isEmpty {}
        } catch Errno.connectionReset {}
    }
}
