import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import Synchronization
import SystemPackage

/// A channel over two descriptors of this process: pipes of a child, or an agent's own standard streams.
///
/// Reading and writing each have a serial queue, whose thread may block; a concurrent queue would give no more threads than there
/// are cores.
public final class DescriptorChannel: ByteChannel {
    private struct Ends {
        var input: FileDescriptor?
        var output: FileDescriptor?
    }

    private let ends: Mutex<Ends>
    private let isTerminated = Atomic<Bool>(false)
    private let reading = WorkQueue()
    private let writing = WorkQueue()

    /// Takes the descriptors over and closes them when it ends.
    ///
    /// - Parameters:
    ///   - input: where bytes are read from.
    ///   - output: where bytes are written to.
    public init(input: FileDescriptor, output: FileDescriptor) {
        ends = Mutex(Ends(input: input, output: output))
        // A write to a pipe without a reader shall be an error, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
    }

    deinit {
        let ends = ends.withLock { $0 }
        if let input = ends.input { close(input.rawValue) }
        if let output = ends.output { close(output.rawValue) }
    }

    /// Sends all the bytes; returns when the kernel took them.
    public func write(_ bytes: Data) async throws {
        try await perform(on: writing) { [self] in
            try bytes.withUnsafeBytes { bytes in
                var rest = bytes[...]
                while !rest.isEmpty {
                    guard let output = ends.withLock({ $0.output }), try wait(for: output, POLLOUT) else {
                        throw Failure(.unreachable, "the channel was closed")
                    }
                    // Small enough that poll's promise of room in the pipe holds for a good part of it.
                    let part = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 16))
                    let count = Glibc.write(output.rawValue, part.baseAddress, part.count)
                    guard count >= 0 else {
                        if errno == EINTR || errno == EAGAIN { continue }
                        throw Failure(.unreachable, "the channel broke", causes: [Errno(rawValue: errno)])
                    }
                    rest = rest.dropFirst(count)
                }
            }
        }
    }

    /// The next bytes; nil at the end of the input and after `terminate`.
    public func read() async throws -> Data? {
        try await perform(on: reading) { [self] in
            guard let input = ends.withLock({ $0.input }) else { return nil }
            var buffer = [UInt8](repeating: 0, count: 1 << 17)
            while try wait(for: input, POLLIN) {
                let count = Glibc.read(input.rawValue, &buffer, buffer.count)
                if count > 0 { return Data(buffer[..<count]) }
                if count == 0 { return nil }
                guard errno == EINTR || errno == EAGAIN else {
                    throw Failure(.unreachable, "the channel broke", causes: [Errno(rawValue: errno)])
                }
            }
            return nil
        }
    }

    /// Closes the descriptor that is written to, after the writes before it.
    public func closeInput() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            writing.async { [self] in
                closeOutput()
                continuation.resume()
            }
        }
    }

    /// Makes the read and the write that wait return, then closes both descriptors.
    public func terminate() async {
        isTerminated.store(true, ordering: .relaxed)
        await closeInput()
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            reading.async { [self] in
                let input = ends.withLock { ends in
                    defer { ends.input = nil }
                    return ends.input
                }
                if let input { close(input.rawValue) }
                continuation.resume()
            }
        }
    }

    /// Nothing: these descriptors carry no standard error.
    public var errorTail: String { "" }

    private func closeOutput() {
        let output = ends.withLock { ends in
            defer { ends.output = nil }
            return ends.output
        }
        if let output { close(output.rawValue) }
    }

    /// Waits until the descriptor is ready; false when the channel was terminated instead.
    private func wait(for descriptor: FileDescriptor, _ events: Int32) throws -> Bool {
        while !isTerminated.load(ordering: .relaxed) {
            var entry = pollfd(fd: descriptor.rawValue, events: Int16(events), revents: 0)
            let count = poll(&entry, 1, 100)
            if count > 0 { return true }
            if count < 0, errno != EINTR {
                throw Failure(.system, "cannot wait for a pipe", causes: [Errno(rawValue: errno)])
            }
        }
        return false
    }

    private func perform<Result: Sendable>(
        on queue: WorkQueue,
        _ work: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Swift.Result { try work() }) }
        }
    }
}
