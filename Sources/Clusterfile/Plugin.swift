/// Extra work at named phases: a document of kind Plugin.
public struct Plugin: Hashable, Sendable {
    /// What a plugin does.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// Runs a shell script on each host of its scope.
        case shell = "SHELL"
        /// Sets labels of Kubernetes nodes.
        case label = "LABEL"
        /// Sets taints of Kubernetes nodes, and takes them away.
        case taint = "TAINT"
        /// Sets host names.
        case hostname = "HOSTNAME"

        /// The phases at which there is something for it to do.
        public var phases: [Phase] {
            switch self {
            case .shell: Phase.allCases
            // There is a node in Kubernetes then.
            case .label, .taint: [.postInitHost, .postJoin, .preLaunch, .postInstall, .postScaleUp]
            // A node never changes its name.
            case .hostname: [.preInstall, .preInitHost, .preJoin, .preScaleUp]
            }
        }
    }

    /// The document's name.
    public var name: String
    /// What it does.
    public var kind: Kind
    /// When it does it.
    public var phases: [Phase]
    /// Roles, labels (`LabelSelector`), addresses, `master0` or `all`; empty for the master that the cluster is changed through at
    /// phases of the cluster, for every host at phases of hosts.
    public var scope: [String]
    /// The script of a `shell`, lines of `ADDRESS WHAT` for the others.
    public var data: String
    /// The most time that it may take on one host, in seconds.
    public var timeout: Int

    /// The most time where nobody names one, in seconds.
    public static let defaultTimeout = 600
    /// Stands in a scope for every host.
    public static let everyHost = "all"
    /// Stands in a scope for the first master.
    public static let firstMaster = "master0"

    /// Makes a plugin.
    public init(
        name: String, kind: Kind, phases: [Phase], scope: [String] = [], data: String, timeout: Int = defaultTimeout
    ) {
        self.name = name
        self.kind = kind
        self.phases = phases
        self.scope = scope
        self.data = data
        self.timeout = timeout
    }
}
