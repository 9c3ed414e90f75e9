import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Report
import SystemPackage

/// The journal of a cluster: a line of JSON when a plan is taken up, before and after each step, and when it is left; each
/// synced to disk before anything else happens.
public actor FileJournal: Journal {
    private let path: FilePath
    private let run: String

    /// Makes a journal that appends to a file, for one execution.
    public init(_ path: FilePath) {
        self.path = path
        run = String(UInt64.random(in: .min ... .max), radix: 36)
    }

    /// Records that a command takes a plan up.
    public func open(command: String, plan: Plan) async throws {
        var line = JournalLine(.opened, run: run)
        line.command = command
        line.plan = try plan.digest()
        line.steps = plan.steps.count
        try await append(line)
    }

    /// Records that the command ended.
    ///
    /// - Parameter message: why it ended badly; nil when all was done.
    public func close(done: Int, message: String?) async throws {
        var line = JournalLine(.closed, run: run)
        line.steps = done
        line.message = message
        try await append(line)
    }

    /// Appends a line about a step.
    public func write(_ event: JournalEvent, _ step: PlanStep) async throws {
        var line: JournalLine
        switch event {
        case .began: line = JournalLine(.began, run: run)
        case .ended: line = JournalLine(.ended, run: run)
        case .failed(let message):
            line = JournalLine(.failed, run: run)
            line.message = message
        }
        (line.step, line.title, line.host) = (step.id, step.title, step.host)
        try await append(line)
    }

    private func append(_ line: JournalLine) async throws {
        let bytes = try canonicalJSON(line) + Data("\n".utf8)
        let path = path
        try await BlockingPool.shared.run {
            do {
                let file = try FileDescriptor.open(
                    path, .readWrite, options: [.append, .create, .closeOnExec], permissions: .ownerReadWrite)
                try file.closeAfter {
                    // A line that a kill cut short must not swallow this one.
                    let size = try file.seek(offset: 0, from: .end)
                    var last: UInt8 = UInt8(ascii: "\n")
                    if size > 0 {
                        _ = try withUnsafeMutableBytes(of: &last) {
                            try file.read(fromAbsoluteOffset: size - 1, into: $0)
                        }
                    }
                    try file.writeAll(last == UInt8(ascii: "\n") ? bytes : Data("\n".utf8) + bytes)
                    guard fdatasync(file.rawValue) == 0 else { throw Errno(rawValue: errno) }
                }
            } catch {
                throw Failure(.system, "cannot write the journal", at: path.string, causes: [error])
            }
        }
    }
}
