import Glibc
import Synchronization

/// Places at which a test has a process end, fail or wait, or tell a wrong number, to see what comes of it. None is active unless
/// the environment variable `SEALER_FAILPOINTS` says so: `NAME=ACTION[,NAME=ACTION…]`, ACTION being `kill`, `fail`, `stall`,
/// `hold:FOLDER`, `once:FILE` or `shift:NUMBER`. `kill:FILE` and the like note in that file that the place was reached, a line each
/// time. `NAME#3` is the place when the process comes to it for the third time.
public enum Failpoint {
    /// What happens at a place.
    public enum Action: String, Sendable {
        /// The process is killed, as by `kill -9`.
        case kill
        /// The process is killed, but not where the file says that one was already.
        case once
        /// The work fails.
        case fail
        /// The work waits until it is cancelled.
        case stall
        /// A file in the folder says that the place was reached, and the work waits until somebody takes it away.
        case hold
        /// What is told there is off by a number (`shift(_:)`).
        case shift
    }

    /// What was asked for at a place.
    struct Order: Hashable, Sendable {
        var action: Action
        /// What stands behind the colon.
        var argument: String?
    }

    /// The variable's name.
    public static let variable = "SEALER_FAILPOINTS"

    private static let orders: [String: Order] = getenv(variable).map { parse(String(cString: $0)) } ?? [:]

    /// Reads the variable's text; what is no failpoint is passed over.
    static func parse(_ text: String) -> [String: Order] {
        text.split(separator: ",").reduce(into: [:]) { orders, part in
            // Names of steps may hold anything but these two characters.
            guard let equals = part.lastIndex(of: "=") else { return }
            let words = part[equals...].dropFirst().split(
                separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let action = words.first.flatMap({ Action(rawValue: String($0)) }) else { return }
            let argument = words.count > 1 ? String(words[1]) : nil
            if action == .shift { guard argument.flatMap({ Int($0) }) != nil else { return } }
            if action == .hold || action == .once { guard argument != nil else { return } }
            orders[String(part[..<equals])] = Order(action: action, argument: argument)
        }
    }

    /// How often the process came to each place.
    private static let visits = Mutex<[String: Int]>([:])

    /// What is asked for at a place at this visit, and under which name.
    private static func order(at place: String) -> (name: String, order: Order)? {
        let visit = visits.withLock { visits in
            visits[place, default: 0] += 1
            return visits[place, default: 0]
        }
        for name in [place, "\(place)#\(visit)"] { if let order = orders[name] { return (name, order) } }
        return nil
    }

    /// Does what is asked for at a place; almost always nothing.
    public static func reach(_ name: @autoclosure () -> String) async throws {
        guard !orders.isEmpty else { return }
        guard let (name, order) = order(at: name()), order.action != .shift else { return }
        if order.action == .once, try isNoted(name, in: order.argument ?? "") { return }
        if let file = order.argument, order.action != .hold { try note(name, in: file) }
        switch order.action {
        case .kill, .once: kill(getpid(), SIGKILL)
        case .fail: throw Failure(.software, "the failpoint \(name) was reached")
        case .stall: while true { try await Task.sleep(for: .seconds(3600)) }
        case .hold: try await hold(name, in: order.argument ?? "")
        case .shift: break
        }
    }

    /// Does something that has an effect, with a place before it and one after it: `begin NAME` and `end NAME`.
    public static func around<Result>(
        _ name: @autoclosure () -> String, isolation: isolated (any Actor)? = #isolation,
        _ body: () async throws -> Result
    ) async throws -> Result {
        guard !orders.isEmpty else { return try await body() }
        let name = name()
        try await reach("begin \(name)")
        let result = try await body()
        try await reach("end \(name)")
        return result
    }

    /// Waits at a place. The file has its name, in which `%2F` stands for a slash.
    static func hold(_ name: String, in folder: String) async throws {
        let file = "\(folder)/\(name.split(separator: "/", omittingEmptySubsequences: false).joined(separator: "%2F"))"
        try note(name, in: file)
        while access(file, F_OK) == 0 { try await Task.sleep(for: .milliseconds(20)) }
    }

    /// How far what is told at a place shall be off; almost always 0.
    public static func shift(_ name: @autoclosure () -> String) -> Int {
        guard !orders.isEmpty, let order = orders[name()], order.action == .shift else { return 0 }
        return order.argument.flatMap { Int($0) } ?? 0
    }

    /// Whether the file has the name in a line of its own.
    static func isNoted(_ name: String, in file: String) throws -> Bool {
        let descriptor = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else {
            guard errno == ENOENT else { throw Failure(.system, "cannot see which failpoints were reached", at: file) }
            return false
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = max(0, Glibc.read(descriptor, &bytes, bytes.count))
        return String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: "\n").contains { $0 == name }
    }

    /// Adds a line to the file. In one call, and not by the pool for blocking work: nothing of the process may be in the way of it.
    static func note(_ name: String, in file: String) throws {
        let descriptor = open(file, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0o600)
        let line = Array("\(name)\n".utf8)
        guard descriptor >= 0, write(descriptor, line, line.count) == line.count, close(descriptor) == 0 else {
            throw Failure(.system, "cannot note that the failpoint \(name) was reached", at: file)
        }
    }
}
