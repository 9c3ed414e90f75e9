import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import Subprocess
import Synchronization
import SystemPackage

/// A command that runs on this machine in a session, and so a process group, of its own.
///
/// One task calls `next`, at most one other `write`. A child of the command that outlives it and keeps its output open does
/// not delay the end.
public final class ChildProcess: Sendable {
    /// What a command does next.
    public enum Event: Sendable, Hashable {
        /// It printed this to its standard output.
        case output(Data)
        /// It printed this to its standard error.
        case error(Data)
        /// It ended, with an exit status or with 128 + the signal that ended it.
        case exited(Int32)
        /// The time that `next` was given is over.
        case expired
    }

    private struct Streams {
        var output: FileDescriptor?
        var error: FileDescriptor?
        var ended: ContinuousClock.Instant?
        var status: Int32?
    }

    /// How long output is still read after the command's end while somebody else holds its pipe.
    private static let grace = Duration.milliseconds(300)

    private let process: StartedProcess
    private let input: DescriptorChannel
    private let streams: Mutex<Streams>
    private let queue = WorkQueue()

    private init(process: StartedProcess, input: DescriptorChannel, output: FileDescriptor, error: FileDescriptor) {
        self.process = process
        self.input = input
        streams = Mutex(Streams(output: output, error: error))
    }

    deinit {
        let streams = streams.withLock { $0 }
        if let output = streams.output { close(output.rawValue) }
        if let error = streams.error { close(error.rawValue) }
        if streams.status == nil { kill(-process.identifier, SIGKILL) }
        process.release()
    }

    /// Its process number, which is its group's and its session's too.
    package var identifier: pid_t { process.identifier }

    /// Starts a command.
    ///
    /// - Throws: `Failure` of kind `notFound` when there is no such program or folder, else `system`.
    public static func start(_ command: RemoteCommand) async throws -> ChildProcess {
        guard let program = command.arguments.first, !program.isEmpty else {
            throw Failure(.software, "a command has no program")
        }
        var opened: [FileDescriptor] = []
        do {
            let (inputEnd, input) = try pipe(&opened)
            let (output, outputEnd) = try pipe(&opened)
            let (error, errorEnd) = try pipe(&opened)
            let process = try await StartedProcess.start(command, input: inputEnd, output: outputEnd, error: errorEnd)
            for end in [inputEnd, outputEnd, errorEnd] { close(end.rawValue) }
            let nothing = try FileDescriptor.open("/dev/null", .readOnly, options: [.closeOnExec])
            return ChildProcess(
                process: process,
                input: DescriptorChannel(input: nothing, output: input),
                output: output,
                error: error
            )
        } catch {
            for descriptor in opened { close(descriptor.rawValue) }
            throw StartedProcess.explain(error, command)
        }
    }

    private static func pipe(_ opened: inout [FileDescriptor]) throws -> (read: FileDescriptor, write: FileDescriptor) {
        let ends = try FileDescriptor.pipe()
        for end in [ends.readEnd, ends.writeEnd] {
            opened.append(end)
            guard fcntl(end.rawValue, F_SETFD, FD_CLOEXEC) == 0 else { throw Errno(rawValue: errno) }
        }
        return (ends.readEnd, ends.writeEnd)
    }

    /// Sends bytes to its standard input.
    public func write(_ bytes: Data) async throws {
        try await input.write(bytes)
    }

    /// Ends its standard input.
    public func closeInput() async {
        await input.closeInput()
    }

    /// Ends its standard input even while a write to it waits.
    public func dropInput() async {
        await input.terminate()
    }

    /// Sends a signal to its whole process group; nothing happens when it is gone.
    public func signal(_ number: Int32) {
        guard streams.withLock({ $0.status == nil }) else { return }
        kill(-process.identifier, number)
    }

    /// Waits for what it does next; after `exited` it gives `exited` again.
    ///
    /// - Parameter deadline: until when to wait.
    public func next(until deadline: ContinuousClock.Instant) async throws -> Event {
        if let status = streams.withLock({ $0.status }) { return .exited(status) }
        let event = try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try self.wait(until: deadline) }) }
        }
        guard case .exited = event else { return event }
        let status = try await process.finish()
        streams.withLock { $0.status = status }
        return .exited(status)
    }

    /// Blocks until there is an event; `exited` comes with status 0, which is not known yet.
    private func wait(until deadline: ContinuousClock.Instant) throws -> Event {
        while true {
            let (output, error, ended) = streams.withLock { ($0.output, $0.error, $0.ended) }
            let now = ContinuousClock.now
            if let ended, (output == nil && error == nil) || now >= ended + Self.grace { return .exited(0) }
            guard now < deadline else { return .expired }

            var entries = [output, error].map { pollfd(fd: $0?.rawValue ?? -1, events: Int16(POLLIN), revents: 0) }
            entries.append(pollfd(fd: ended == nil ? process.descriptor : -1, events: Int16(POLLIN), revents: 0))
            // Short enough to see the deadline, and the end of a process of which there is no descriptor.
            let count = poll(&entries, nfds_t(entries.count), process.descriptor < 0 || ended != nil ? 20 : 100)
            guard count >= 0 || errno == EINTR else {
                throw Failure(.system, "cannot wait for a command", causes: [Errno(rawValue: errno)])
            }
            if let output, entries[0].revents != 0, let bytes = try read(output, forget: \.output) {
                return .output(bytes)
            }
            if let error, entries[1].revents != 0, let bytes = try read(error, forget: \.error) { return .error(bytes) }
            if ended == nil, entries[2].revents != 0 || process.hasEndedWithoutDescriptor {
                streams.withLock { $0.ended = .now }
            }
        }
    }

    private func read(
        _ descriptor: FileDescriptor,
        forget: WritableKeyPath<Streams, FileDescriptor?>
    ) throws -> Data? {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = Glibc.read(descriptor.rawValue, &buffer, buffer.count)
        if count > 0 { return Data(buffer[..<count]) }
        if count < 0, errno == EINTR || errno == EAGAIN { return nil }
        streams.withLock { $0[keyPath: forget] = nil }
        close(descriptor.rawValue)
        return nil
    }
}
