import AsyncHTTPClient
import FoundationEssentials
import ImageStore
import NIOHTTP1
import OCI
import Report

extension RegistryClient {
    static let acceptedTypes = [
        MediaType.index, MediaType.manifest, MediaType.dockerManifestList, MediaType.dockerManifest,
    ]

    /// Types that say nothing: then the document's own `mediaType` counts.
    private static let genericTypes: Set<String> = ["", "application/json", "application/octet-stream", "text/plain"]

    /// Gets a manifest or an index from one place and checks it.
    ///
    /// - Parameters:
    ///   - name: the tag or the digest.
    ///   - digest: what the bytes must have; nil for a tag.
    ///   - expected: what led here; nil for a name that the user gave.
    func document(
        _ name: String,
        at endpoint: Endpoint,
        digest: Digest?,
        expected: Descriptor?,
        reference: Reference,
        subject: String
    ) async throws -> ResolvedImage {
        let errand = Errand.get(subject)
        let ask = Ask(path: "manifests/\(name)", accept: Self.acceptedTypes, errand: errand)
        let reply = try await send(ask, to: endpoint)
        let headers = reply.response.headers
        let bytes = try await collect(
            reply.response.body,
            limit: Int(expected?.size ?? Document.sizeLimit),
            limits: configuration.limits,
            origin: reply.origin.description,
            errand: errand
        )
        func refuse(_ why: String, remedy: String? = nil) -> Failure {
            Failure(.integrity, "cannot \(errand): \(why)", at: reply.origin.description, remedy: remedy)
        }

        let actual = Digest.of(bytes, digest?.algorithm ?? .sha256)
        if let digest, actual != digest { throw refuse("the registry sent bytes with the digest \(actual)") }
        if let expected, Int64(bytes.count) != expected.size {
            throw refuse("it has \(bytes.count) bytes instead of \(expected.size)")
        }
        if let announced = headers.first(name: "docker-content-digest") {
            let announced = try Digest(printable(announced, limit: 200))
            guard Digest.of(bytes, announced.algorithm) == announced else {
                throw refuse("the registry announced \(announced), but sent bytes with the digest \(actual)")
            }
        }

        let mediaType = try expected?.mediaType ?? mediaType(headers, bytes, refuse)
        return ResolvedImage(
            reference: reference,
            descriptor: Descriptor(mediaType: mediaType, digest: actual, size: Int64(bytes.count)),
            bytes: bytes,
            document: try Document(bytes, mediaType: mediaType, at: "\(reply.origin): \(subject)")
        )
    }

    private func mediaType(
        _ headers: HTTPHeaders,
        _ bytes: Data,
        _ refuse: (String, String?) -> Failure
    ) throws -> String {
        let header = headers.first(name: "content-type") ?? ""
        var type = header.prefix { $0 != ";" }.filter { $0 != " " && $0 != "\t" }.lowercased()
        if Self.genericTypes.contains(type) {
            struct Own: Decodable {
                var mediaType: String?
                var schemaVersion: Int?
            }
            let own = try? JSONDecoder().decode(Own.self, from: bytes)
            type =
                own?.mediaType
                ?? (own?.schemaVersion == 1 ? "application/vnd.docker.distribution.manifest.v1+json" : "")
        }
        if type.hasPrefix("application/vnd.docker.distribution.manifest.v1+") {
            throw refuse(
                "the registry has it only as a Docker schema 1 manifest, which is obsolete and not supported",
                "push the image again with a current tool, for instance: skopeo copy --format v2s2"
            )
        }
        guard MediaType.isIndex(type) || MediaType.isManifest(type) else {
            throw refuse("the reply is no manifest, its type is \"\(printable(type, limit: 100))\"", nil)
        }
        return type
    }
}
