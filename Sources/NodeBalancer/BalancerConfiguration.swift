import FoundationEssentials
import Report

/// What a node's balancer does: a JSON file that sealer writes and `sealer node lb` reads (docs/balancer.md).
///
/// It is written by `json` and read by `init(parsing:file:)`, which is strict.
public struct BalancerConfiguration: Hashable, Sendable, Encodable {
    /// The services, each with a name of its own.
    public var services: [Service]
    /// How often and how long.
    public var intervals: Intervals
    /// How many.
    public var limits: Limits
    /// The file that tells how the backends are, an absolute path; nil for none.
    public var status: String?

    /// Makes a configuration.
    public init(
        services: [Service], intervals: Intervals = Intervals(), limits: Limits = Limits(), status: String? = nil
    ) {
        self.services = services
        self.intervals = intervals
        self.limits = limits
        self.status = status
    }

    /// An address on the node behind which some machines do the work.
    public struct Service: Hashable, Sendable, Encodable {
        /// The name, for messages.
        public var name: String
        /// Where clients connect.
        public var listen: BalancerEndpoint
        /// Where the work is done.
        public var backends: [BalancerEndpoint]
        /// How a backend shows that it is well.
        public var check: Check

        /// Makes a service.
        public init(name: String, listen: BalancerEndpoint, backends: [BalancerEndpoint], check: Check = Check()) {
            self.name = name
            self.listen = listen
            self.backends = backends
            self.check = check
        }
    }

    /// How a backend shows that it is well.
    public struct Check: Hashable, Sendable, Encodable {
        /// The sorts of checks.
        public enum Kind: String, Hashable, Sendable, Encodable, CaseIterable {
            /// It takes a connection.
            case tcp
            /// It answers a GET over TLS with the status 200.
            case https
        }
        /// The sort of check.
        public var kind: Kind
        /// What is asked for; only for `https`.
        public var path: String?
        /// The file with the authorities (PEM) that the backend's certificate is compared with; nil for the system's
        /// own. Only for `https`.
        public var authority: String?

        /// Makes a check by TCP connection.
        public init() { kind = .tcp }

        /// Makes a check by GET over TLS.
        public init(path: String, authority: String?) {
            kind = .https
            self.path = path
            self.authority = authority
        }
    }

    /// How often and how long; in the file seconds, with a fraction if need be.
    public struct Intervals: Hashable, Sendable, Encodable {
        /// Between two checks of a backend, 2 s.
        public var check: Duration = .seconds(2)
        /// A check that takes longer has failed, 2 s.
        public var timeout: Duration = .seconds(2)
        /// A client's connection to a backend that takes longer has failed, 2 s.
        public var connect: Duration = .seconds(2)
        /// Time for connections to end by themselves when the balancer is stopped, 2 s.
        public var drain: Duration = .seconds(2)

        /// Makes the usual intervals.
        public init() {}

        private enum CodingKeys: String, CodingKey { case check, timeout, connect, drain }

        /// Writes seconds.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(check / .seconds(1), forKey: .check)
            try container.encode(timeout / .seconds(1), forKey: .timeout)
            try container.encode(connect / .seconds(1), forKey: .connect)
            try container.encode(drain / .seconds(1), forKey: .drain)
        }
    }

    /// How many.
    public struct Limits: Hashable, Sendable, Encodable {
        /// The most connections of clients at once, over all services; further ones are refused.
        public var connections = 8192
        /// Checks that fail in a row before a backend counts as down.
        public var failures = 3
        /// Checks that succeed in a row before a backend that was down counts as up.
        public var successes = 2

        /// Makes the usual limits.
        public init() {}
    }

    /// The configuration as a file's content.
    public func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self) + Data("\n".utf8)
    }
}
