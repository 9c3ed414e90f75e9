import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import SystemPackage

/// A process by what no other one has: its number is given again some day, but not with the same start.
struct ProcessMark: Sendable, Hashable {
    let number: pid_t
    /// When it began, in the kernel's ticks.
    let start: UInt64
}

/// What /proc tells of a process.
struct ProcessEntry: Sendable, Hashable {
    let mark: ProcessMark
    let group: pid_t
    let session: pid_t
    /// Whether it only waits for its parent to take notice of its end.
    let hasEnded: Bool

    /// Reads a line of /proc/PID/stat; nil when it is none.
    init?(_ line: some Collection<UInt8>) {
        // The name is in brackets and may hold anything, brackets and blanks too.
        let bytes = Array(line)
        guard let bracket = bytes.lastIndex(of: UInt8(ascii: ")")),
            let number = pid_t(String(decoding: bytes.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self))
        else { return nil }
        let words = String(decoding: bytes[(bracket + 1)...], as: UTF8.self).split(whereSeparator: \.isWhitespace)
        guard words.count > 19, let group = pid_t(words[2]), let session = pid_t(words[3]),
            let threads = Int(words[17]), let start = UInt64(words[19])
        else { return nil }
        mark = ProcessMark(number: number, start: start)
        self.group = group
        self.session = session
        // One whose first thread alone has ended runs on.
        hasEnded = words[0] == "X" || words[0] == "Z" && threads <= 1
    }
}

/// The machine's processes. All calls block.
enum ProcessTable {
    /// All that are there.
    static func all() throws -> [ProcessEntry] {
        try Folder.names(in: "/proc").compactMap { name in try pid_t(name).flatMap { try entry($0) } }
    }

    /// One of them; nil when it is not there.
    static func entry(_ number: pid_t) throws -> ProcessEntry? {
        guard let line = try read(FilePath("/proc/\(number)/stat")) else { return nil }
        guard let entry = ProcessEntry(line) else {
            throw Failure(.system, "cannot read what the kernel tells of a process", at: "/proc/\(number)/stat")
        }
        return entry
    }

    /// Whether a process runs; another one that has got its number is not it.
    static func isAlive(_ mark: ProcessMark) throws -> Bool {
        guard let entry = try entry(mark.number) else { return false }
        return entry.mark == mark && !entry.hasEnded
    }

    /// Whether a process was started with a variable in its environment; false too when it may not be looked at.
    static func carries(_ variable: String, _ process: ProcessMark) throws -> Bool {
        do {
            guard let environment = try read(FilePath("/proc/\(process.number)/environ")) else { return false }
            return environment.split(separator: 0).contains { $0.elementsEqual(variable.utf8) }
        } catch let failure as Failure where failure.kind == .denied {
            return false
        }
    }

    /// The program's name, for messages.
    static func name(_ process: ProcessMark) throws -> String {
        let text = String(decoding: try read(FilePath("/proc/\(process.number)/comm")) ?? Data(), as: UTF8.self)
        return text.split(separator: "\n").first.map(String.init) ?? "?"
    }

    /// Reads a file of a process; nil when the process is gone. Any other trouble must not be taken for that.
    private static func read(_ path: FilePath) throws -> Data? {
        do {
            return try readFile(path)
        } catch let failure as Failure where failure.kind == .notFound {
            return nil
        } catch let failure as Failure where failure.causes.contains(where: { $0 as? Errno == .noSuchProcess }) {
            return nil
        }
    }
}
