extension Plugin {
    /// A named point of a plan. Names that other releases of the field use are read too (see `Phase.init(named:)`).
    public enum Phase: String, Hashable, Sendable, CaseIterable {
        /// Before anything of a cluster is made.
        case preInstall = "pre-install"
        /// Before hosts are added to a cluster.
        case preScaleUp = "pre-scaleup"
        /// On each host that is to become a member, before anything is installed there.
        case preInitHost = "pre-init-host"
        /// On each host that joins a cluster, before it does.
        case preJoin = "pre-join"
        /// On each host that joined.
        case postJoin = "post-join"
        /// On each host that became a member.
        case postInitHost = "post-init-host"
        /// Before the applications are launched.
        case preLaunch = "pre-launch"
        /// After a cluster was made.
        case postInstall = "post-install"
        /// After hosts were added to a cluster.
        case postScaleUp = "post-scaleup"
        /// Before a cluster is deleted.
        case preUninstall = "pre-uninstall"
        /// On each host that leaves, before it does.
        case preCleanHost = "pre-clean-host"
        /// On each host that left.
        case postCleanHost = "post-clean-host"
        /// After a cluster was deleted.
        case postUninstall = "post-uninstall"

        /// Whether it comes once for the cluster; the others come once for each host.
        public var isOfCluster: Bool {
            switch self {
            case .preInstall, .preLaunch, .postInstall, .preScaleUp, .postScaleUp, .preUninstall, .postUninstall: true
            case .preInitHost, .postInitHost, .preJoin, .postJoin, .preCleanHost, .postCleanHost: false
            }
        }

        /// Its place among the phases as they come.
        public var place: Int { Self.allCases.firstIndex(of: self) ?? 0 }

        /// Names of sealer 0.5 to 0.8 for the phases above.
        static let olderNames: [(name: String, phase: Phase)] = [
            // "Before everything", on every host of the plugin's scope, which pre-install is not.
            ("Originally", .preInitHost),
            ("PreInit", .preInitHost),
            // 0.5 knew the name and never ran it.
            ("PreInstall", .preInstall),
            ("PreJoin", .preJoin),
            ("PostJoin", .postJoin),
            ("PreGuest", .preLaunch),
            ("PostInstall", .postInstall),
            ("PreClean", .preCleanHost),
            ("PostClean", .postCleanHost),
        ]

        /// Phases of sealer 0.11 that come with the upgrade of clusters.
        static let laterNames = ["upgrade", "upgrade-host", "rollback"]

        /// Every name that is read.
        static var names: [String] { allCases.map(\.rawValue) + olderNames.map(\.name) }

        /// Reads a phase's name, as sealer 0.5 to 0.11 spell it; nil for what is none.
        public init?(named name: String) {
            guard let phase = Phase(rawValue: name) ?? Self.olderNames.first(where: { $0.name == name })?.phase else {
                return nil
            }
            self = phase
        }
    }
}
