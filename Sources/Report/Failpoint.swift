import Glibc

/// Places at which a test has a process end, fail or wait, to see what comes of it. None is active unless the environment variable
/// `SEALER_FAILPOINTS` says so: `NAME=ACTION[,NAME=ACTION…]`, ACTION being `kill`, `fail` or `stall`.
public enum Failpoint {
    /// What happens at a place.
    public enum Action: String, Sendable {
        /// The process is killed, as by `kill -9`.
        case kill
        /// The work fails.
        case fail
        /// The work waits until it is cancelled.
        case stall
    }

    /// The variable's name.
    public static let variable = "SEALER_FAILPOINTS"

    private static let actions: [String: Action] = getenv(variable).map { parse(String(cString: $0)) } ?? [:]

    /// Reads the variable's text; what is no failpoint is passed over.
    static func parse(_ text: String) -> [String: Action] {
        text.split(separator: ",").reduce(into: [:]) { actions, part in
            // Names of steps may hold anything but these two characters.
            guard let equals = part.lastIndex(of: "="),
                let action = Action(rawValue: String(part[equals...].dropFirst()))
            else { return }
            actions[String(part[..<equals])] = action
        }
    }

    /// Does what is asked for at a place; almost always nothing.
    public static func reach(_ name: @autoclosure () -> String) async throws {
        guard !actions.isEmpty, let action = actions[name()] else { return }
        switch action {
        case .kill: kill(getpid(), SIGKILL)
        case .fail: throw Failure(.software, "the failpoint \(name()) was reached")
        case .stall: while true { try await Task.sleep(for: .seconds(3600)) }
        }
    }
}
