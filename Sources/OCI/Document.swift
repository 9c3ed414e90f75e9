import FoundationEssentials
import Report

/// A manifest or an index as it came, told apart safely.
public enum Document: Hashable, Sendable {
    /// An image manifest.
    case manifest(ImageManifest)
    /// An index.
    case index(ImageIndex)

    /// The largest document that is accepted, in bytes; registries commonly stop at 4 MiB.
    public static let sizeLimit: Int64 = 8 << 20

    /// Parses the bytes of a document of the given type.
    ///
    /// A document that has the members of both a manifest and an index is refused, and its own `mediaType` must agree
    /// with the one that led here (CVE-2021-41190).
    ///
    /// - Throws: `Failure` of kind `integrity`.
    public init(_ bytes: Data, mediaType: String, at place: String? = nil) throws {
        guard bytes.count <= Self.sizeLimit else {
            throw Failure(.integrity, "the manifest has \(bytes.count) bytes, more than \(Self.sizeLimit)", at: place)
        }
        let shape: Shape
        do {
            shape = try JSONDecoder().decode(Shape.self, from: bytes)
        } catch {
            throw Failure(.integrity, "the manifest is not valid JSON of its type", at: place, causes: [error])
        }
        if let own = shape.mediaType, own != mediaType {
            throw Failure(.integrity, "the manifest says it is \(own), but was announced as \(mediaType)", at: place)
        }
        guard shape.schemaVersion == 2 else {
            throw Failure(
                .integrity,
                "the manifest has schema version \(shape.schemaVersion.map(String.init) ?? "none"), expected 2",
                at: place
            )
        }
        let looksLikeIndex = shape.manifests != nil
        let looksLikeManifest = shape.config != nil || shape.layers != nil
        guard looksLikeIndex != looksLikeManifest else {
            throw Failure(.integrity, "the document is not clearly a manifest or an index", at: place)
        }
        do {
            if MediaType.isIndex(mediaType), looksLikeIndex {
                self = .index(try JSONDecoder().decode(ImageIndex.self, from: bytes))
            } else if MediaType.isManifest(mediaType), looksLikeManifest {
                self = .manifest(try JSONDecoder().decode(ImageManifest.self, from: bytes))
            } else {
                throw Failure(.integrity, "a document of type \(mediaType) does not have the members of one", at: place)
            }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(.integrity, "the manifest lacks members that it must have", at: place, causes: [error])
        }
        guard references.allSatisfy({ $0.size >= 0 }) else {
            throw Failure(.integrity, "the manifest refers to content of a negative size", at: place)
        }
    }

    /// What the bytes of a document say they are, or look like where they do not say; nil for what is none that we read (Docker's
    /// schema 1). For places that keep documents without their types.
    public static func mediaType(of bytes: Data) -> String? {
        guard let shape = try? JSONDecoder().decode(Shape.self, from: bytes) else { return nil }
        let type = shape.mediaType ?? (shape.manifests != nil ? MediaType.index : MediaType.manifest)
        return (try? Document(bytes, mediaType: type)) == nil ? nil : type
    }

    /// Everything the document refers to, in its order.
    public var references: [Descriptor] {
        switch self {
        case .manifest(let manifest): [manifest.config] + manifest.layers
        case .index(let index): index.manifests
        }
    }

    /// Only what tells a manifest from an index.
    private struct Shape: Decodable {
        struct Anything: Decodable {
            init(from decoder: any Decoder) {}
        }
        var schemaVersion: Int?
        var mediaType: String?
        var manifests: [Anything]?
        var config: Anything?
        var layers: [Anything]?
    }
}

/// Encodes what we write: sorted keys, no white space, no escaped slashes, so that the same values give the same bytes.
public func canonicalJSON(_ value: some Encodable) throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return try encoder.encode(value)
}
