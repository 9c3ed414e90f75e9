import Archive
import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report

/// A regular file of an image.
public struct ImageFile: Sendable, Hashable, Codable {
    /// What it holds.
    public var bytes: Data
    /// The mode's lower twelve bits, as the layer has them.
    public var permissions: UInt32

    /// Makes a file.
    public init(bytes: Data, permissions: UInt32) {
        self.bytes = bytes
        self.permissions = permissions
    }
}

/// Reads single files of an image of the store, without unpacking it.
///
/// Layers are read from the top down, no more of them than are needed to know; each that is read is compared with its digest.
/// What is found is what unpacking all of them leaves at that very path. Symbolic links are not followed; what a layer writes
/// through a folder's link of a lower one is not seen under the folder's own name.
public struct ImageFiles: Sendable {
    /// The most bytes of one file.
    public static let sizeLimit = 4 << 20

    private let store: ImageStore

    /// Names the store.
    public init(_ store: ImageStore) {
        self.store = store
    }

    /// Reads files.
    ///
    /// - Parameters:
    ///   - paths: relative paths in the image.
    ///   - manifest: the image's; its layers are in the store.
    ///   - limit: the most bytes of one file.
    /// - Returns: those that are there, by the paths as they were given.
    /// - Throws: `Failure` of kind `invalidInput`, with the path, for what is no regular file, lies below something that is no
    ///   folder, or is too large; of kind `integrity` for damaged layers.
    public func read(
        _ paths: Set<String>, of manifest: ImageManifest, limit: Int = sizeLimit
    ) async throws -> [String: ImageFile] {
        guard !paths.isEmpty else { return [:] }
        let asked = try paths.sorted().map { (text: $0, path: try ArchivePath(Array($0.utf8))) }
        let layers = try manifest.layers.map { try PackedLayer($0, in: store) }
        return try await BlockingPool.shared.run { cancellation in
            var search = PathSearch(asked.map(\.path))
            for layer in layers.reversed() {
                guard !search.isDone else { break }
                try search.look(into: layer, limit: limit, cancellation)
            }
            search.finish()
            var files: [String: ImageFile] = [:]
            var failures: [any Error] = []
            for (number, (text, path)) in asked.enumerated() {
                do {
                    files[text] = try search.file(number, path, limit: limit)
                } catch {
                    failures.append(error)
                }
            }
            guard failures.isEmpty else {
                throw Failure.several("\(failures.count) paths of the image cannot be read", failures)
            }
            return files
        }
    }
}

extension PackedLayer {
    /// Reads the archive, and compares all bytes of the layer with its digest. What `body` found counts only when this returns.
    /// Blocks.
    ///
    /// - Throws: what `body` throws; `Failure` of kind `integrity` when the digest is another.
    func verified<Result>(
        _ cancellation: CancellationFlag, _ body: (any ByteSource) throws -> Result
    ) throws -> Result {
        var hasher = ContentHasher(digest.algorithm)
        let source = try file { chunk in
            try cancellation.check()
            hasher.update(chunk)
        }
        let result = try body(try decoder(source))
        // What stands behind the archive's end is part of the blob all the same.
        try source.copy(to: FunctionSink { _ in })
        guard hasher.digest() == digest else {
            throw Failure(
                .integrity, "the layer does not have the digest that it is named by", at: place,
                remedy: "see what else is wrong with: sealer check --store")
        }
        return result
    }
}
