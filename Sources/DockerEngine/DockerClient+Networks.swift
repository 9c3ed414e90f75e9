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

    private enum CodingKeys: String, CodingKey {
        case id = "Id"
        case name = "Name"
        case isInternal = "Internal"
        case labels = "Labels"
    }
}

extension DockerClient {
    /// Makes a bridge network.
    ///
    /// - Parameter isInternal: nothing leaves the network.
    /// - Returns: its id.
    /// - Throws: `Failure` of kind `conflict` when there is one of that name.
    @discardableResult
    public func createNetwork(_ name: String, isInternal: Bool, labels: [String: String]) async throws -> String {
        let answer: CreatedObject = try await json(
            .POST,
            "/networks/create",
            Self.body([
                "Name": .string(name), "CheckDuplicate": true, "Driver": "bridge", "Internal": .boolean(isInternal),
                "Labels": .labels(labels),
            ]),
            purpose: "make the network",
            place: name
        )
        return answer.id
    }

    /// The networks that carry a label, given as `key=value` or `key`.
    public func networks(label: String) async throws -> [EngineNetwork] {
        try await json(.GET, "/networks?\(Self.filter(label: label))", purpose: "list the networks")
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
