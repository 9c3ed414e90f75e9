/// How the pods of a node that leaves are ended, so that they start elsewhere.
public struct DrainPolicy: Sendable, Hashable {
    /// How long a pod may take to end after it was asked to, in seconds; nil for what each pod says of itself. 0 ends them at once.
    public var gracePeriod: Int?
    /// How long all pods of a node may take to be gone, waiting for disruption budgets included, in seconds; 1 or more.
    public var timeout: Int

    /// The most that the pods of a node may take where nobody says otherwise, in seconds.
    public static let defaultTimeout = 600

    /// Makes a policy.
    public init(gracePeriod: Int? = nil, timeout: Int = defaultTimeout) {
        self.gracePeriod = gracePeriod
        self.timeout = timeout
    }

    /// The options of `kubectl drain`.
    var arguments: [String] {
        (gracePeriod.map { ["--grace-period=\($0)"] } ?? []) + ["--timeout=\(timeout)s"]
    }
}
