import FoundationEssentials

/// Who changes a cluster: what a host is told that keeps others away meanwhile.
public struct LeaseOwner: Sendable, Codable, Hashable {
    /// Names this one run of a command among all.
    public var id: String
    /// The user's name on the operator's machine.
    public var user: String
    /// The name of the operator's machine.
    public var machine: String
    /// The process over there.
    public var process: Int
    /// The command: `sealer apply`.
    public var command: String
    /// The cluster that is changed.
    public var cluster: String
    /// When the command began: seconds since 1970 by the operator's clock. For people: ages are measured by the host.
    public var since: Double

    /// Makes an owner.
    public init(
        id: String, user: String, machine: String, process: Int, command: String, cluster: String, since: Double
    ) {
        self.id = id
        self.user = user
        self.machine = machine
        self.process = process
        self.command = command
        self.cluster = cluster
        self.since = since
    }

    /// The owner for people: `alice@ops1 (sealer apply, process 123)`.
    public var words: String { "\(user)@\(machine) (\(command), process \(process))" }
}

/// Who has a lease, and for how long, both by the clock of the host that keeps it.
public struct LeaseHolder: Sendable, Codable, Hashable {
    /// Who it is; nil when what is written down there cannot be read.
    public var owner: LeaseOwner?
    /// For how many seconds it has been held.
    public var age: Double
    /// How many seconds ago its owner gave a sign of life.
    public var silent: Double

    /// Makes a holder.
    public init(owner: LeaseOwner?, age: Double, silent: Double) {
        self.owner = owner
        self.age = age
        self.silent = silent
    }

    /// The holder for people: `alice@ops1 (sealer apply, process 123) since 4 min, last sign of life 10 s ago`.
    public var words: String {
        let who = owner?.words ?? "somebody whose name cannot be read"
        return "\(who) since \(Self.words(age)), last sign of life \(Self.words(silent)) ago"
    }

    /// Whole seconds, minutes or hours: nobody needs it more exactly.
    public static func words(_ seconds: Double) -> String {
        let seconds = Int(min(max(seconds, 0), 1e9))
        if seconds < 120 { return "\(seconds) s" }
        return seconds < 3600 ? "\(seconds / 60) min" : "\(seconds / 3600) h \(seconds % 3600 / 60) min"
    }
}

/// What became of an attempt to take a lease.
public enum LeaseOutcome: Sendable, Hashable {
    /// It is taken; `from` had it before and was stale, or is known to have ended.
    case taken(from: LeaseHolder?)
    /// Somebody else has it, and nothing was changed.
    case held(by: LeaseHolder)
}

/// What became of a sign of life.
public enum LeaseRenewal: Sendable, Hashable {
    /// The lease is still held.
    case renewed
    /// Somebody else has taken it over.
    case takenOver(by: LeaseHolder)
    /// There is no lease any more: the host was taken back to what it was, or somebody took it over and has ended.
    case gone
}

/// What is asked of a host about the lease it keeps.
public enum LeaseRequest: Sendable, Codable, Hashable {
    /// Take it. Answered by `leased` or `held`. The limit is in seconds.
    case take(LeaseOwner, staleAfter: Double, ended: [String])
    /// The owner lives. Answered by `leased`, `held` or `absent`.
    case renew(LeaseOwner)
    /// Remove it if it is that owner's; nil for anybody's. Answered by `done`.
    case giveBack(String?)
    /// Who has it? Answered by `held` or `absent`.
    case look

    /// The request in one word.
    var word: String {
        switch self {
        case .take: "lease-take"
        case .renew: "lease-renew"
        case .giveBack: "lease-return"
        case .look: "lease-look"
        }
    }
}
