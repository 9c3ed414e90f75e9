import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import SystemPackage

/// The other end of `AskPass`: a socket on which ssh's questions come in.
final class AskPassServer: Sendable {
    private struct Caller: Sendable {
        var descriptor: Int32
        var question: String
    }

    private let listener: Int32
    // Not the shared pool: its threads would all wait here while many hosts are being connected.
    private let pool = BlockingPool(width: 1)

    /// Makes the socket. Blocks for a moment.
    ///
    /// - Parameter path: in a folder that only this user can enter.
    /// - Throws: `Failure` of kind `system`.
    init(at path: FilePath) throws {
        listener = UnixSocket.make()
        guard listener >= 0 else {
            throw Failure(.system, "cannot make a socket", at: path.string, causes: [Errno(rawValue: errno)])
        }
        guard UnixSocket.bind(listener, to: path.string), listen(listener, 8) == 0 else {
            let error = Errno(rawValue: errno)
            close(listener)
            throw Failure(.system, "cannot make a socket", at: path.string, causes: [error])
        }
    }

    deinit { close(listener) }

    /// Answers questions, one after the other, until the task is cancelled.
    ///
    /// - Parameter answer: gives nil to refuse.
    /// - Throws: `CancellationError` in the end.
    func serve(_ answer: @Sendable (String) async -> String?) async throws {
        try await withTaskCancellationHandler {
            while true {
                let caller = try await pool.run { cancellation in try self.next(cancellation) }
                guard let caller else { continue }
                let reply = await answer(caller.question)
                // Also for a cancelled task: the descriptor must be closed.
                await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                    replying.async {
                        Self.send(reply, to: caller.descriptor)
                        continuation.resume()
                    }
                }
            }
        } onCancel: {
            // Wakes whoever waits in accept.
            shutdown(listener, Int32(SHUT_RDWR))
        }
    }

    private let replying = WorkQueue()

    /// The next question; nil for a caller who is none of ours or says nothing.
    private func next(_ cancellation: CancellationFlag) throws -> Caller? {
        let descriptor = accept(listener, nil, nil)
        try cancellation.check()
        guard descriptor >= 0 else {
            let error = Errno(rawValue: errno)
            if [.interrupted, .connectionAbort].contains(error) { return nil }
            throw Failure(.system, "cannot take ssh's questions", causes: [error])
        }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        UnixSocket.setTimeout(descriptor, seconds: 10)
        guard UnixSocket.peer(descriptor) == geteuid(),
            let bytes = UnixSocket.readToEnd(descriptor, limit: AskPass.limit)
        else {
            close(descriptor)
            return nil
        }
        return Caller(descriptor: descriptor, question: String(decoding: bytes, as: UTF8.self))
    }

    private static func send(_ answer: String?, to descriptor: Int32) {
        defer { close(descriptor) }
        guard let answer else { return }
        var rest = ([AskPass.granted] + Array(answer.utf8))[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            // A caller who went away gets nothing.
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
