/// What is known of a backend's health: a value that outcomes of checks are recorded in.
public struct BackendHealth: Hashable, Sendable {
    /// How a backend is.
    public enum State: String, Hashable, Sendable, Codable, CaseIterable {
        /// No check has told yet; it is tried, so that a node that boots need not wait for the first check.
        case unknown
        /// It is well.
        case up
        /// Enough checks in a row failed.
        case down
    }

    /// How it is.
    public private(set) var state: State = .unknown
    /// Whether the last that was seen of it, a check or a connection, failed: others are tried first.
    public private(set) var isSuspect = false
    private var failures = 0
    private var successes = 0

    /// Makes the health of a backend that nobody has asked yet.
    public init() {}

    /// Records a check.
    ///
    /// The first success makes an unknown backend up; one that was down needs `limits.successes` in a row. Both go down after
    /// `limits.failures` in a row.
    ///
    /// - Returns: the new state when it changed.
    public mutating func record(isWell: Bool, limits: BalancerConfiguration.Limits) -> State? {
        let before = state
        isSuspect = !isWell
        if isWell {
            failures = 0
            successes = min(successes + 1, limits.successes)
            if state == .unknown || (state == .down && successes >= limits.successes) { state = .up }
        } else {
            successes = 0
            failures = min(failures + 1, limits.failures)
            if failures >= limits.failures { state = .down }
        }
        return state == before ? nil : state
    }

    /// Records a client's connection, which does not change the state: checks decide alone.
    public mutating func noteConnection(succeeded: Bool) { isSuspect = !succeeded }

    /// In which order backends are tried for a new connection: those that are up, those that nobody knows of, and when none
    /// of these answers, those that are down.
    var rank: Int {
        switch state {
        case .up: isSuspect ? 1 : 0
        case .unknown: isSuspect ? 3 : 2
        case .down: 4
        }
    }
}

/// Whom to try first.
enum BackendOrder {
    /// The positions of all backends in the order in which they are to be tried: the healthier first, of equal ones that with
    /// the fewest connections, and of those that are equal in this too another one each turn.
    static func positions(ranks: [Int], connections: [Int], turn: Int) -> [Int] {
        let count = ranks.count
        guard count > 1 else { return Array(ranks.indices) }
        let place: (Int) -> Int = { ($0 - turn % count + count) % count }
        return ranks.indices.sorted {
            (ranks[$0], connections[$0], place($0)) < (ranks[$1], connections[$1], place($1))
        }
    }
}
