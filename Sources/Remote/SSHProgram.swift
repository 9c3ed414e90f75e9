import FoundationEssentials
import Glibc
import Report
import Synchronization

/// A moment that moves on while a person is asked for something.
final class PatientDeadline: Sendable {
    private let state: Mutex<ContinuousClock.Instant>

    init(after limit: Duration) {
        state = Mutex(.now + limit)
    }

    var isOver: Bool { state.withLock { $0 <= .now } }

    /// Runs `body`, whose time does not count.
    func sparing<Result>(_ body: () async throws -> Result) async rethrows -> Result {
        let start = ContinuousClock.now
        defer { state.withLock { $0 += .now - start } }
        return try await body()
    }
}

/// ssh as a child that is watched: within a time, and ended with the task that waits for it.
enum SSHProgram {
    /// How often the deadline and the task's cancellation are looked at.
    private static let tick = Duration.milliseconds(200)

    /// Starts ssh.
    ///
    /// - Throws: `Failure` of kind `unavailable` when this machine has none.
    static func start(
        _ arguments: [String],
        environment: [String: String] = [:],
        at place: String
    ) async throws -> ChildProcess {
        do {
            return try await ChildProcess.start(RemoteCommand(arguments, environment: environment))
        } catch let failure as Failure where failure.kind == .notFound {
            throw Failure(
                .unavailable, "this machine has no OpenSSH client: \(failure.what)", at: place,
                remedy: "install it: the package is openssh-client on Debian and Ubuntu, openssh-clients elsewhere")
        }
    }

    /// Hands on what the child does until `handle` gives something, or the child ends.
    ///
    /// - Returns: what `handle` gave; nil when the child ended first, whose status `handle` saw.
    /// - Throws: `Failure` of kind `timeout` when the time is over.
    static func follow<Result>(
        _ child: ChildProcess,
        until deadline: PatientDeadline,
        waitingFor what: String,
        at place: String,
        _ handle: (ChildProcess.Event) async throws -> Result?
    ) async throws -> Result? {
        while true {
            try Task.checkCancellation()
            let event = try await child.next(until: .now + tick)
            if event == .expired {
                if deadline.isOver {
                    throw Failure(
                        .timeout, "waited for \(what), in vain", at: place,
                        remedy: "look whether the host is overloaded, and at the network")
                }
                continue
            }
            if let result = try await handle(event) { return result }
            if case .exited = event { return nil }
        }
    }

    /// Runs ssh to its end for what it prints.
    ///
    /// - Returns: its status, what it printed (at most 256 KiB) and the end of its standard error.
    static func run(
        _ arguments: [String],
        limit: Duration,
        at place: String
    ) async throws -> (status: Int32, output: String, error: String) {
        let child = try await start(arguments, at: place)
        await child.closeInput()
        var output = Data()
        var error = TextTail()
        let status: Int32?
        do {
            status = try await follow(
                child, until: PatientDeadline(after: limit), waitingFor: "\(arguments[0]) to end", at: place
            ) { event in
                switch event {
                case .output(let bytes): output.append(bytes.prefix((256 << 10) - output.count))
                case .error(let bytes): error.append(bytes)
                case .exited(let status): return status
                case .expired: break
                }
                return nil
            }
        } catch {
            child.signal(SIGKILL)
            throw error
        }
        return (status ?? 255, String(decoding: output, as: UTF8.self), error.text)
    }
}
