import NIOHTTP1
import Report

extension DockerClient {
    /// Whether the engine has an image.
    public func hasImage(_ name: String) async throws -> Bool {
        do {
            _ = try await inspectImage(name)
            return true
        } catch let failure as Failure where failure.kind == .notFound {
            return false
        }
    }

    /// What an image is.
    ///
    /// - Throws: `Failure` of kind `notFound`.
    public func inspectImage(_ name: String) async throws -> EngineImage {
        // The name keeps its slashes: the engine's route takes the rest of the path.
        let path = name.split(separator: "/", omittingEmptySubsequences: false).map { Self.escape(String($0)) }
            .joined(separator: "/")
        return try await json(.GET, "/images/\(path)/json", purpose: "look at the image", place: name)
    }
}

/// An image of the engine.
public struct EngineImage: Sendable, Hashable, Decodable {
    /// The digest of its configuration.
    public var id: String
    /// GOARCH.
    public var architecture: String

    private enum CodingKeys: String, CodingKey {
        case id = "Id"
        case architecture = "Architecture"
    }
}
