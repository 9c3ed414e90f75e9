import FoundationEssentials
import Glibc
import Report
import Subprocess
import Synchronization
import SystemPackage

/// A process that the subprocess library has started and holds unreaped until `finish`, so that its number and its descriptor
/// stay its own.
final class StartedProcess: Sendable {
    /// Its number, which is its group's number too.
    let identifier: pid_t
    /// Readable when it has ended; negative on kernels that have no such descriptors.
    let descriptor: Int32
    private let hold: Hold
    private let outcome: Task<TerminationStatus, any Error>

    private init(identifier: pid_t, descriptor: Int32, hold: Hold, outcome: Task<TerminationStatus, any Error>) {
        self.identifier = identifier
        self.descriptor = descriptor
        self.hold = hold
        self.outcome = outcome
    }

    static func start(
        _ command: RemoteCommand,
        input: FileDescriptor,
        output: FileDescriptor,
        error: FileDescriptor
    ) async throws -> StartedProcess {
        let program = command.arguments[0]
        let folder = FilePath(command.workingDirectory ?? "/")
        var options = PlatformOptions()
        options.createSession = true
        let environment = command.environment.reduce(into: [Environment.Key: String?]()) { result, entry in
            result[Environment.Key(stringLiteral: entry.key)] = entry.value
        }
        let configuration = Configuration(
            executable: program.contains("/") ? .path(FilePath(program)) : .name(program),
            arguments: Arguments(Array(command.arguments.dropFirst())),
            environment: .inherit.updating(environment),
            workingDirectory: folder,
            platformOptions: options
        )
        let hold = Hold()
        let (started, announce) = AsyncThrowingStream.makeStream(of: ProcessIdentifier.self, throwing: (any Error).self)
        // Not a child task: the caller's cancellation must not make the library kill the command; that is the caller's to do, for
        // the whole group.
        let outcome = Task.detached {
            do {
                return try await Subprocess.run(
                    configuration,
                    input: .fileDescriptor(input, closeAfterSpawningProcess: false),
                    output: .fileDescriptor(output, closeAfterSpawningProcess: false),
                    error: .fileDescriptor(error, closeAfterSpawningProcess: false)
                ) { execution in
                    announce.yield(execution.processIdentifier)
                    announce.finish()
                    await hold.wait()
                }.terminationStatus
            } catch {
                announce.finish(throwing: error)
                throw error
            }
        }
        // In a task of its own, which is not cancelled: a command that is being started must not be lost sight of.
        return try await Task.detached {
            for try await process in started {
                return StartedProcess(
                    identifier: process.value,
                    descriptor: process.processDescriptor,
                    hold: hold,
                    outcome: outcome
                )
            }
            throw Failure(.software, "a command neither started nor failed")
        }.value
    }

    /// Whether it has ended, as /proc tells it, where there is no descriptor to ask.
    var hasEndedWithoutDescriptor: Bool {
        guard descriptor < 0 else { return false }
        guard let file = fopen("/proc/\(identifier)/stat", "re") else { return true }
        defer { fclose(file) }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = fread(&buffer, 1, buffer.count, file)
        // The state stands after the name, which is in brackets and may hold anything.
        guard let bracket = buffer[..<count].lastIndex(of: UInt8(ascii: ")")), bracket + 2 < count else { return false }
        return buffer[bracket + 2] == UInt8(ascii: "Z")
    }

    /// Reaps it; call it when it has ended.
    ///
    /// - Returns: its status; 128 + N when signal N ended it.
    func finish() async throws -> Int32 {
        hold.release()
        switch try await outcome.value {
        case .exited(let code): return code
        case .signaled(let signal): return 128 + signal
        }
    }

    /// Lets it be reaped whenever it ends.
    func release() {
        hold.release()
    }

    static func explain(_ error: any Error, _ command: RemoteCommand) -> any Error {
        let program = command.arguments.first ?? ""
        guard let problem = error as? SubprocessError else {
            if error is Failure || error is CancellationError { return error }
            return Failure(.system, "cannot start \(program)", causes: [error])
        }
        switch problem.code {
        case .executableNotFound:
            return Failure(.notFound, "there is no program \(program)", causes: [error])
        case .failedToChangeWorkingDirectory:
            return Failure(.notFound, "there is no folder to start \(program) in", at: command.workingDirectory)
        default:
            return Failure(.system, "cannot start \(program)", causes: [error])
        }
    }
}

/// Something to wait for that happens once.
private final class Hold: Sendable {
    private struct State {
        var isReleased = false
        var waiting: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    func wait() async {
        await withCheckedContinuation { continuation in
            let isReleased = state.withLock { state in
                if !state.isReleased { state.waiting = continuation }
                return state.isReleased
            }
            if isReleased { continuation.resume() }
        }
    }

    func release() {
        let waiting = state.withLock { state in
            state.isReleased = true
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resume()
    }
}
