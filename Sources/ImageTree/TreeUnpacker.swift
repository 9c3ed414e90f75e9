import Archive
import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage

/// Makes a folder of an image of the store: its layers, base first, one upon the other.
public struct TreeUnpacker: Sendable {
    private let store: ImageStore

    /// Names the store.
    public init(_ store: ImageStore) {
        self.store = store
    }

    /// Unpacks the layers into a new folder beside the destination, which it then replaces by renaming; the old one is deleted
    /// after that. A failure leaves the destination as it was.
    ///
    /// - Parameters:
    ///   - image: the manifest of the image.
    ///   - folder: an absolute path below some folder.
    ///   - advanced: gets the number of bytes written so far.
    /// - Throws: `Failure` of kind `integrity` for damaged or hostile layers, `system` when the disk refuses.
    public func unpack(
        _ image: Descriptor,
        to folder: FilePath,
        advanced: @escaping @Sendable (Int64) -> Void = { _ in }
    ) async throws {
        let destination = folder.lexicallyNormalized()
        guard destination.isAbsolute, let name = destination.lastComponent?.string, destination.components.count >= 2
        else {
            throw Failure(.software, "an image is unpacked to an absolute path below some folder", at: folder.string)
        }
        guard case .manifest(let manifest) = try await store.document(image) else {
            throw Failure(
                .invalidInput, "only an image can be unpacked, this is an index", at: image.digest.description)
        }
        let layers = try manifest.layers.map { try PackedLayer($0, in: store) }
        try await BlockingPool.shared.run { cancellation in
            let parent = destination.removingLastComponent()
            try Folder.make(parent)
            try ProcessFolder.deleteLeft(in: parent, prefix: Self.prefix(name))
            let fresh = ProcessFolder.path(in: parent, prefix: Self.prefix(name))
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

    private static func extract(
        _ layers: [PackedLayer],
        into folder: FilePath,
        _ cancellation: CancellationFlag,
        _ advanced: @escaping @Sendable (Int64) -> Void
    ) throws {
        let extractor = try LayerExtractor(into: folder, cancellation: cancellation, progress: advanced)
        for layer in layers { try extractor.extract(try layer.open(), place: layer.place) }
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

    /// What the names of the folders begin with that are unpacked into, beside a folder of that name; an interruption may leave one.
    public static func prefix(_ name: String) -> String { ".\(name).unpacking-" }
}
