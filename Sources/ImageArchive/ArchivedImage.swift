import ImageStore
import OCI

/// An image and the names under which an archive has it or gets it.
public struct ArchivedImage: Sendable, Hashable {
    /// The names, sorted.
    public var names: [Reference]
    /// What they stand for: an index or a manifest.
    public var descriptor: Descriptor

    /// Makes one.
    public init(names: [Reference], descriptor: Descriptor) {
        self.names = names.sorted { $0.description < $1.description }
        self.descriptor = descriptor
    }

    /// The image as the user asked for it: under the name that was asked for, or under all of its names.
    public init(_ image: NamedImage) {
        self.init(names: image.asked.map { [$0] } ?? image.names, descriptor: image.descriptor)
    }
}
