import Archive
import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Remote
import Report
import Synchronization
import SystemPackage

/// Unpacks images of the project's own image store.
public struct LayerUnpacker: ImageUnpacker {
    private let store: ImageStore

    /// Names the store.
    public init(_ store: ImageStore) {
        self.store = store
    }

    /// Unpacks the layers into a new folder beside the destination, which it then replaces by renaming; the old one is deleted
    /// after that. A failure leaves the destination as it was.
    public func unpack(_ request: UnpackRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws {
        let destination = FilePath(request.destination).lexicallyNormalized()
        guard destination.isAbsolute, let name = destination.lastComponent?.string, destination.components.count >= 2
        else {
            throw Failure(
                .software, "an image is unpacked to an absolute path below some folder", at: request.destination)
        }
        guard case .manifest(let manifest) = try await store.document(request.manifest) else {
            throw Failure(
                .invalidInput, "only an image can be unpacked, this is an index",
                at: request.manifest.digest.description)
        }
        let layers = try manifest.layers.map { layer in
            guard let compression = Compression(mediaType: layer.mediaType) else {
                throw Failure(
                    .invalidInput, "a layer of the type \(layer.mediaType) cannot be unpacked",
                    at: layer.digest.description)
            }
            return Layer(path: store.path(of: layer.digest), compression: compression, digest: layer.digest)
        }
        try await BlockingPool.shared.run { cancellation in
            let parent = destination.removingLastComponent()
            try Folder.make(parent)
            try Self.deleteLeftovers(in: parent, of: name)
            let fresh = parent.appending("\(Self.prefix(name))\(getpid())-\(UInt32.random(in: 0...UInt32.max))")
            do {
                try Folder.make(fresh)
                try Self.extract(layers, into: fresh, cancellation, advanced)
                try Self.swap(fresh, destination)
            } catch {
                try Folder.delete(fresh)
                throw error
            }
        }
    }

    private struct Layer: Sendable {
        var path: FilePath
        var compression: Compression
        var digest: Digest
    }

    private static func extract(
        _ layers: [Layer],
        into folder: FilePath,
        _ cancellation: CancellationFlag,
        _ advanced: @escaping @Sendable (Int64) -> Void
    ) throws {
        let extractor = try LayerExtractor(into: folder, cancellation: cancellation, progress: advanced)
        for layer in layers {
            let place = layer.digest.description
            let source = try FileSource(layer.path)
            _ = try extractor.extract(try layer.compression.decoder(source, place: place), place: place)
        }
    }

    /// Puts the new folder in the place of the old one.
    private static func swap(_ fresh: FilePath, _ destination: FilePath) throws {
        var old: FilePath?
        if access(destination.string, F_OK) == 0 {
            let aside = FilePath("\(fresh).old")
            try move(destination, to: aside)
            old = aside
        }
        do {
            try move(fresh, to: destination)
        } catch {
            if let old { try move(old, to: destination) }
            throw error
        }
        try AtomicFile.syncFolder(destination.removingLastComponent())
        if let old { try Folder.delete(old) }
    }

    private static func move(_ from: FilePath, to: FilePath) throws {
        guard rename(from.string, to.string) == 0 else {
            throw Failure(.system, "cannot rename \(from)", at: to.string, causes: [Errno(rawValue: errno)])
        }
    }

    private static func prefix(_ name: String) -> String { ".\(name).unpacking-" }

    /// Deletes what earlier unpackings left whose process is gone.
    private static func deleteLeftovers(in parent: FilePath, of name: String) throws {
        let prefix = prefix(name)
        for entry in try Folder.names(in: parent) where entry.hasPrefix(prefix) {
            let number = entry.dropFirst(prefix.count).prefix { $0 != "-" }
            if let identifier = pid_t(number), kill(identifier, 0) != 0, errno == ESRCH {
                try Folder.delete(parent.appending(entry))
            }
        }
    }
}
