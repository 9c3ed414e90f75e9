import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import SystemPackage

/// A file of this machine that is read piece by piece. Its calls block.
final class SSHSource: Sendable {
    /// Its size in bytes when it was opened.
    let size: Int64
    private let path: FilePath
    private let file: FileDescriptor

    init(_ path: FilePath) throws {
        self.path = path
        do {
            file = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec])
        } catch Errno.noSuchFileOrDirectory {
            throw Failure(.notFound, "there is no such file", at: path.string)
        } catch {
            throw Failure(.system, "cannot open the file", at: path.string, causes: [error])
        }
        var information = stat()
        guard fstat(file.rawValue, &information) == 0, information.st_mode & S_IFMT == S_IFREG else {
            close(file.rawValue)
            throw Failure(.invalidInput, "this is no file that could be sent", at: path.string)
        }
        size = Int64(information.st_size)
    }

    deinit { close(file.rawValue) }

    func next() throws -> Data? {
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        do {
            let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
            return count == 0 ? nil : Data(buffer[..<count])
        } catch {
            throw Failure(.system, "cannot read the file", at: path.string, causes: [error])
        }
    }
}

/// The sending of a file to a script on the host.
struct SSHPlacing: Sendable {
    let child: ChildProcess
    let host: String
    let path: FilePath
    let first: Data
    let stallLimit: Duration

    /// Sends the file and waits for the host to say that it has its name.
    func send(_ source: SSHSource) async throws {
        // A write that waits for a host that is silent can be ended only by ending ssh.
        let child = child
        try await withTaskCancellationHandler {
            do {
                try await transfer(source)
            } catch {
                child.signal(SIGKILL)
                try Task.checkCancellation()
                throw error
            }
        } onCancel: {
            child.signal(SIGKILL)
        }
    }

    private func transfer(_ source: SSHSource) async throws {
        var writeError: (any Error)?
        do {
            try await write(source)
        } catch let failure as Failure where failure.kind == .unreachable {
            // The host's end is closed. Why, it says below.
            writeError = failure
        }
        await child.closeInput()
        var output = first
        var errors = TextTail()
        let status = try await SSHProgram.follow(
            child, until: PatientDeadline(after: stallLimit), waitingFor: "\(path) to be on the host's disk", at: host
        ) { event -> Int32? in
            switch event {
            case .output(let bytes): output.append(bytes.prefix((64 << 10) - output.count))
            case .error(let bytes): errors.append(bytes)
            case .exited(let status): return status
            case .expired: break
            }
            return nil
        }
        let said = String(decoding: output, as: UTF8.self)
        if status == 0, writeError == nil, said.hasSuffix(" \(SSHLoginScript.placed)\n") { return }
        let causes = SSHWords.causes("the host said", errors.text)
        if status == 255 {
            throw Failure(
                .unreachable, "the connection over SSH was lost while a file was sent", at: "\(host):\(path)",
                remedy: "look whether the host runs, then run the command again", causes: causes)
        }
        throw Failure(
            .system, "the host could not take the file", at: "\(host):\(path)",
            remedy: "look at the host's disk, and whether the folder can be written", causes: causes)
    }

    private func write(_ source: SSHSource) async throws {
        let child = child
        let watch = StallWatch { _ in }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                var sent: Int64 = 0
                while let bytes = try await BlockingPool.shared.run({ try source.next() }) {
                    try await child.write(bytes)
                    sent += Int64(bytes.count)
                    watch.advance(to: sent)
                }
                return true
            }
            group.addTask {
                do {
                    try await watch.run(limit: stallLimit, waitingFor: "\(path) to be sent", at: host) {
                        try await Task.sleep(for: .seconds(1_000_000))
                    }
                } catch let failure as Failure {
                    child.signal(SIGKILL)
                    throw failure
                }
                return false
            }
            defer { group.cancelAll() }
            _ = try await group.next()
        }
    }
}
