import FoundationEssentials
import Report

/// How the backends of a node's balancer are: what the balancer writes to its status file.
public struct BalancerStatus: Hashable, Sendable, Codable {
    /// A service.
    public struct Service: Hashable, Sendable, Codable {
        /// Its name.
        public var name: String
        /// Where clients connect.
        public var listen: String
        /// Why nobody can connect there, if so.
        public var trouble: String?
        /// How many clients are connected.
        public var connections: Int
        /// How many clients were refused because there were too many.
        public var refused: Int
        /// The backends in the order of the configuration.
        public var backends: [Backend]
    }

    /// A backend.
    public struct Backend: Hashable, Sendable, Codable {
        /// Its address and port.
        public var address: String
        /// How it is.
        public var state: BackendHealth.State
        /// How many connections lead to it.
        public var connections: Int
        /// What the last check or connection that failed said; nil when none failed since the last success of a check.
        public var lastError: String?
    }

    /// The services in the order of the configuration.
    public var services: [Service]

    /// Reads a status file's content.
    ///
    /// - Throws: `Failure` of kind `integrity`.
    public init(json: Data, at place: String) throws {
        do {
            self = try JSONDecoder().decode(Self.self, from: json)
        } catch {
            throw Failure(.integrity, "this is no status of a balancer", at: place, causes: [error])
        }
    }

    init(services: [Service]) { self.services = services }

    func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self) + Data("\n".utf8)
    }
}
