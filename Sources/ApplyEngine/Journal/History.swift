import FoundationEssentials
import LinuxSystem
import Report
import SystemPackage

/// What a cluster's journal tells: one entry for each command that changed it, oldest first.
public struct History: Sendable, Hashable, Codable {
    /// One execution of a plan.
    public struct Run: Sendable, Hashable, Codable {
        /// How it ended.
        public enum End: String, Sendable, Hashable, Codable {
            /// All steps were done.
            case done
            /// A step failed, or it was interrupted.
            case failed
            /// Nothing says how: the command was killed, or runs still.
            case unknown
        }
        /// A step that failed, or whose end nothing tells.
        public struct Trouble: Sendable, Hashable, Codable {
            /// The step.
            public var step: String
            /// What it does.
            public var title: String
            /// The host.
            public var host: String?
            /// Why it failed; nil when nothing tells its end.
            public var message: String?
        }
        /// The run's own word.
        public var run: String
        /// When it began, UTC.
        public var began: String
        /// When its last line was written, UTC.
        public var ended: String
        /// The command.
        public var command: String
        /// How many steps the plan had.
        public var planned: Int
        /// How many were done.
        public var done: Int
        /// How it ended.
        public var end: End
        /// Why it ended badly.
        public var message: String?
        /// The steps that failed, and those whose end nothing tells.
        public var troubles: [Trouble]
    }

    /// The runs, oldest first.
    public var runs: [Run]

    /// Reads a journal's text. Lines that are cut short, as a kill leaves them, tell nothing and are passed over.
    public init(text: Data) {
        var order: [String] = []
        var lines: [String: [JournalLine]] = [:]
        let decoder = JSONDecoder()
        for bytes in text.split(separator: UInt8(ascii: "\n")) {
            guard let line = Self.line(bytes, decoder) else { continue }
            if lines[line.run] == nil { order.append(line.run) }
            lines[line.run, default: []].append(line)
        }
        runs = order.map { Self.run($0, lines[$0] ?? []) }
    }

    private static func line(_ bytes: Data, _ decoder: JSONDecoder) -> JournalLine? {
        do { return try decoder.decode(JournalLine.self, from: bytes) } catch { return nil }
    }

    private static func run(_ name: String, _ lines: [JournalLine]) -> Run {
        let opened = lines.first { $0.event == .opened }
        let closed = lines.last { $0.event == .closed }
        var pending: [String: Run.Trouble] = [:]
        var order: [String] = []
        var done = 0
        for line in lines {
            guard let step = line.step else { continue }
            switch line.event {
            case .began:
                if pending[step] == nil { order.append(step) }
                pending[step] = .init(step: step, title: line.title ?? "", host: line.host, message: nil)
            case .ended:
                pending[step] = nil
                done += 1
            case .failed: pending[step]?.message = line.message
            case .opened, .closed: break
            }
        }
        return Run(
            run: name, began: lines.first?.at ?? "", ended: lines.last?.at ?? "", command: opened?.command ?? "",
            planned: opened?.steps ?? 0, done: done,
            end: closed.map { $0.message == nil ? .done : .failed } ?? .unknown, message: closed?.message,
            troubles: order.compactMap { pending[$0] }
        )
    }

    /// Reads a journal; empty when there is none. Blocking.
    public static func read(_ path: FilePath) throws -> History {
        do {
            return History(text: Data(try readFile(path, limit: 256 << 20)))
        } catch let failure as Failure where failure.kind == .notFound {
            return History(text: Data())
        }
    }
}
