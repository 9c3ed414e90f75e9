import NIOHTTP1
import Report

/// A network of the engine.
public struct EngineNetwork: Sendable, Hashable, Decodable {
    /// Its id.
    public var id: String
    /// Its name.
    public var name: String
    /// Whether nothing leaves it.
    public var isInternal: Bool
    /// Its labels.
    public var labels: [String: String]?
    private var addresses: AddressManagement?

    private struct AddressManagement: Sendable, Hashable, Decodable {
        struct Range: Sendable, Hashable, Decodable {
            var subnet: String?
            private enum CodingKeys: String, CodingKey { case subnet = "Subnet" }
        }
        var ranges: [Range]?
        private enum CodingKeys: String, CodingKey { case ranges = "Config" }
    }

    private enum CodingKeys: String, CodingKey {
        case id = "Id"
        case name = "Name"
        case isInternal = "Internal"
        case labels = "Labels"
        case addresses = "IPAM"
    }

    /// Its IPv4 range, CIDR; nil when the engine does not tell.
    public var subnet: String? { addresses?.ranges?.compactMap(\.subnet).first { !$0.contains(":") } }
}

extension DockerClient {
    /// Makes a bridge network.
    ///
    /// - Parameters:
    ///   - isInternal: nothing leaves the network.
    ///   - subnet: its range, CIDR; nil for one that the engine chooses. Only in one that was named may containers have fixed
    ///     addresses.
    /// - Returns: its id.
    /// - Throws: `Failure` of kind `conflict` when there is one of that name.
    @discardableResult
    public func createNetwork(_ name: String, isInternal: Bool, labels: [String: String], subnet: String? = nil)
        async throws -> String
    {
        var wish: [String: JSON] = [
            "Name": .string(name), "CheckDuplicate": true, "Driver": "bridge", "Internal": .boolean(isInternal),
            "Labels": .labels(labels),
        ]
        if let subnet { wish["IPAM"] = ["Driver": "default", "Config": [["Subnet": .string(subnet)]]] }
        let answer: CreatedObject = try await json(
            .POST,
            "/networks/create",
            Self.body(.object(wish)),
            purpose: "make the network",
            place: name
        )
        return answer.id
    }

    /// The networks that carry a label, given as `key=value` or `key`.
    public func networks(label: String) async throws -> [EngineNetwork] {
        try await json(.GET, "/networks?\(Self.filter(label: label))", purpose: "list the networks")
    }

    /// The network of that name, whoever made it; nil when there is none.
    public func network(named name: String) async throws -> EngineNetwork? {
        let all: [EngineNetwork] = try await json(.GET, "/networks", purpose: "list the networks")
        return all.first { $0.name == name }
    }

    /// Removes a network; none of that name is fine.
    public func removeNetwork(_ name: String) async throws {
        try await send(
            .DELETE,
            "/networks/\(Self.escape(name))",
            purpose: "remove the network",
            place: name,
            accepting: [404]
        )
    }
}

/// What the engine answers when it made something.
struct CreatedObject: Sendable, Decodable {
    var id: String

    private enum CodingKeys: String, CodingKey { case id = "Id" }
}
