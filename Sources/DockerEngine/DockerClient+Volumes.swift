import NIOHTTP1
import Report

/// A volume of the engine.
public struct EngineVolume: Sendable, Hashable, Decodable {
    /// Its name.
    public var name: String
    /// Its labels.
    public var labels: [String: String]?

    private enum CodingKeys: String, CodingKey {
        case name = "Name"
        case labels = "Labels"
    }
}

extension DockerClient {
    /// Makes a volume; one of that name that is there stays as it is.
    public func createVolume(_ name: String, labels: [String: String]) async throws {
        try await send(
            .POST,
            "/volumes/create",
            Self.body(["Name": .string(name), "Labels": .labels(labels)]),
            purpose: "make the volume",
            place: name
        )
    }

    /// The volumes that carry a label, given as `key=value` or `key`.
    public func volumes(label: String) async throws -> [EngineVolume] {
        let answer: VolumeList = try await json(
            .GET,
            "/volumes?\(Self.filter(label: label))",
            purpose: "list the volumes"
        )
        return answer.volumes ?? []
    }

    /// Removes a volume; none of that name is fine.
    public func removeVolume(_ name: String) async throws {
        try await send(
            .DELETE,
            "/volumes/\(Self.escape(name))",
            purpose: "remove the volume",
            place: name,
            accepting: [404]
        )
    }
}

/// The engine wraps its list of volumes.
private struct VolumeList: Sendable, Decodable {
    var volumes: [EngineVolume]?

    private enum CodingKeys: String, CodingKey { case volumes = "Volumes" }
}
