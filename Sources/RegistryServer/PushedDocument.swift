import FoundationEssentials
import ImageStore
import NIOHTTP1
import OCI
import Report

/// A manifest or an index that a client pushes, read and checked as far as it can be on its own.
struct PushedDocument: Sendable {
    /// The largest document that is taken in, in bytes (OCI distribution specification 1.1, "Pushing Manifests").
    static let sizeLimit = 4 << 20

    let descriptor: Descriptor
    let document: Document
    /// What the document is about, if it says so; that need not be here.
    let subject: Digest?

    /// Reads it. Blocking, for a few milliseconds.
    ///
    /// - Parameters:
    ///   - mediaType: what the client calls it; nil leaves that to the document.
    ///   - name: how the client names it; a digest must be that of the bytes.
    init(_ bytes: Data, mediaType: String?, name: ManifestName) throws {
        struct Own: Decodable { var mediaType: String? }
        let own = try? JSONDecoder().decode(Own.self, from: bytes)
        guard let type = mediaType ?? own?.mediaType else {
            throw RegistryError(
                .badRequest, .manifestInvalid, "neither the request nor the manifest says its media type")
        }
        do {
            document = try Document(bytes, mediaType: type)
        } catch let failure as Failure {
            throw RegistryError(.badRequest, .manifestInvalid, failure.what)
        }
        guard let fields = ReferrerFields(bytes) else {
            throw RegistryError(
                .badRequest, .manifestInvalid, "the subject or the annotations of the manifest are not valid")
        }
        subject = fields.subject?.digest
        let wanted: Digest? = if case .digest(let digest) = name { digest } else { nil }
        let digest = Digest.of(bytes, wanted?.algorithm ?? .sha256)
        guard wanted == nil || wanted == digest else {
            throw RegistryError(.badRequest, .digestInvalid, "the manifest has the digest \(digest)")
        }
        descriptor = Descriptor(
            mediaType: type, digest: digest, size: Int64(bytes.count), artifactType: fields.artifactType)
    }

    /// What it refers to and must be in the registry, each once. Layers that the image's maker does not want distributed are no
    /// exception: without them the image could not be copied or saved.
    var needed: [Descriptor] {
        var seen: Set<Digest> = []
        return document.references.filter { seen.insert($0.digest).inserted }
    }

    /// Whether a reference of it must be a document of its own, and not only bytes.
    func isDocument(_ reference: Descriptor) -> Bool {
        guard case .index = document else { return false }
        return MediaType.isIndex(reference.mediaType) || MediaType.isManifest(reference.mediaType)
    }

    /// Whether its members get names of their own once it has one.
    var isClusterImage: Bool {
        if case .index(let index) = document { index.artifactType == MediaType.clusterImage } else { false }
    }
}
