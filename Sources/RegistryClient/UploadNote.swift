import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI

/// Notes beside the store which upload a registry has begun, so that a push that ended in its middle, also by `kill -9`, goes on
/// there the next time.
///
/// Without its note an upload works as well, and begins anew the next time: what goes wrong with the note is no failure.
final class UploadNote: Sendable {
    /// What is written down.
    struct Record: Codable, Hashable {
        /// Where the next bytes go.
        var url: String
        /// `https://HOST[:PORT]` of the registry that began it.
        var registry: String
        /// The smallest chunk that the registry takes, in bytes.
        var smallestChunk: Int64

        init(_ session: UploadSession) {
            url = session.url
            registry = session.registry.description
            smallestChunk = session.smallestChunk
        }

        /// The upload, with how far it is left open.
        ///
        /// - Returns: nil when it is not one of this place: whatever is in the file, our password goes to the registry that was
        ///   named, and to none in the clear that was not so before.
        func session(at endpoint: Endpoint) -> UploadSession? {
            guard let registry = Origin(registry), registry.domain == endpoint.host, let place = Origin(url),
                registry.scheme == "https" || endpoint.security != .verified,
                place.scheme == "https" || registry.scheme == "http",
                (0...1 << 30).contains(smallestChunk)
            else { return nil }
            return UploadSession(url: url, registry: registry, smallestChunk: smallestChunk)
        }
    }

    /// The upload that an earlier attempt began; how far it is, only the registry knows.
    let begun: UploadSession?
    private let file: IngestNote

    /// Opens the note of a blob on its way to a repository.
    ///
    /// - Returns: nil when another task or process is sending the same blob there, or the store takes no notes.
    init?(of blob: Descriptor, to endpoint: Endpoint, in store: ImageStore) async {
        do {
            guard let file = try await store.note(Self.name(of: blob, at: endpoint)) else { return nil }
            self.file = file
            let line = try await BlockingPool.shared.run { try file.read() }
            // What cannot be read was left by a power cut, or by another version.
            begun = line.isEmpty ? nil : try? JSONDecoder().decode(Record.self, from: line).session(at: endpoint)
        } catch {
            return nil
        }
    }

    /// One file for each blob in each repository. The name is a hash: neither a host nor a path is a file name.
    static func name(of blob: Descriptor, at endpoint: Endpoint) -> String {
        let place = "\(endpoint.host)\n\(endpoint.repository)\n\(blob.digest)"
        return "\(Digest.of(Data(place.utf8)).hex.prefix(40)).upload"
    }

    /// Notes where the upload is now.
    func keep(_ session: UploadSession) async {
        do {
            let (line, file) = (try canonicalJSON(Record(session)), file)
            try await BlockingPool.shared.run { try file.write(line) }
        } catch is CancellationError {
            // The push ends. At most the registry finds the address old, and the next push begins anew.
            return
        } catch {
            // The registry may have an address that is too long, the disk may be full. An address that holds no more is worse
            // than none.
            file.close(keeping: false)
        }
    }

    /// Lets go of it.
    ///
    /// - Parameter keeping: whether there is something to go on with.
    func close(keeping: Bool) { file.close(keeping: keeping) }
}
