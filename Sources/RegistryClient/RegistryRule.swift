import OCI
import Report

/// One `[[registry]]` of `containers-registries.conf` (version 2): where the images of some names really are.
public struct RegistryRule: Hashable, Sendable {
    /// A place that has copies.
    public struct Mirror: Hashable, Sendable {
        /// Which references a mirror may serve.
        public enum Use: String, Sendable {
            /// All.
            case all
            /// Those with a digest.
            case digestOnly = "digest-only"
            /// Those without a digest.
            case tagOnly = "tag-only"
        }

        /// What replaces the rule's prefix in the name: `HOST[:PORT][/PATH]`.
        public var location: String
        /// Whether http, and https without verification, are accepted.
        public var insecure: Bool
        /// Which references it may serve.
        public var use: Use

        /// Makes a mirror.
        public init(location: String, insecure: Bool = false, use: Use = .all) {
            self.location = location
            self.insecure = insecure
            self.use = use
        }
    }

    /// The beginning of the names that the rule is for: `HOST[:PORT][/PATH]` or `*.DOMAIN`.
    public var prefix: String
    /// What replaces the prefix; nil leaves the name as it is.
    public var location: String?
    /// Whether http, and https without verification, are accepted at the location.
    public var insecure: Bool
    /// Whether these names may not be pulled at all.
    public var blocked: Bool
    /// Tried in order before the location.
    public var mirrors: [Mirror]

    /// Makes a rule.
    public init(
        prefix: String,
        location: String? = nil,
        insecure: Bool = false,
        blocked: Bool = false,
        mirrors: [Mirror] = []
    ) {
        self.prefix = prefix
        self.location = location
        self.insecure = insecure
        self.blocked = blocked
        self.mirrors = mirrors
    }

    /// How much of `repository` (`HOST[:PORT]/PATH`) the prefix covers, in characters; nil when the rule is not for it.
    ///
    /// A prefix only ends where a component of the name ends: `example.com/foo` is not for `example.com/foobar`, and
    /// `localhost` is not for `localhost.example.com`.
    func matchedLength(in repository: String) -> Int? {
        if prefix.hasPrefix("*.") {
            let domain = repository.prefix { $0 != "/" }
            let host = domain.hasPrefix("[") ? domain : domain.prefix { $0 != ":" }
            let suffix = prefix.dropFirst()
            guard host.hasSuffix(suffix), host.count > suffix.count else { return nil }
            return domain.count
        }
        guard repository == prefix || repository.hasPrefix(prefix + "/") else { return nil }
        return prefix.count
    }

    /// The rule with the longest prefix that is for the repository.
    static func best(of rules: [RegistryRule], for repository: String) -> RegistryRule? {
        rules.filter { $0.matchedLength(in: repository) != nil }.max { $0.prefix.count < $1.prefix.count }
    }
}
