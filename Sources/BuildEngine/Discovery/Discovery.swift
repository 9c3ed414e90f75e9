import OCI
import Report

/// The container images that a rootfs asks for, and what could not be decided about it.
public struct Discovery: Sendable {
    /// The images, one entry for each name, sorted by name.
    public var images: [DiscoveredImage]
    /// What may be an image that the cluster will want, and is not among `images`.
    public var warnings: [Diagnostic]

    /// Makes a result.
    public init(images: [DiscoveredImage], warnings: [Diagnostic]) {
        self.images = images
        self.warnings = warnings
    }
}

/// An image that the files of a rootfs name.
public struct DiscoveredImage: Sendable, Hashable {
    /// Where an image is named.
    public struct Place: Sendable, Hashable, Comparable, CustomStringConvertible {
        /// The file, relative to the rootfs: `manifests/web.yaml`, `charts/web/templates/deployment.yaml`.
        public var file: String
        /// The line, from 1; nil when a template made the text and its line cannot be told.
        public var line: Int?

        /// Makes a place.
        public init(file: String, line: Int?) {
            self.file = file
            self.line = line
        }

        /// Orders by file, then line.
        public static func < (left: Place, right: Place) -> Bool {
            (left.file, left.line ?? 0) < (right.file, right.line ?? 0)
        }

        /// `FILE:LINE`, or `FILE`.
        public var description: String { line.map { "\(file):\($0)" } ?? file }
    }

    /// The image's name, normalised.
    public var reference: Reference
    /// Where it is named, sorted.
    public var foundIn: [Place]

    /// Makes an entry.
    public init(reference: Reference, foundIn: [Place]) {
        self.reference = reference
        self.foundIn = foundIn
    }
}

/// How much of a rootfs is read before it is refused.
public struct DiscoveryLimits: Sendable {
    /// The most files and folders that are looked at.
    public var entries = 50_000
    /// The deepest nesting of folders.
    public var depth = 32
    /// The most bytes of one manifest or list.
    public var fileBytes = 16 << 20
    /// The most bytes of all manifests and lists.
    public var totalBytes = 256 << 20
    /// The most bytes that helm may print for one chart.
    public var renderedBytes = 64 << 20
    /// How long helm may take for one chart.
    public var renderTime = Duration.seconds(120)
    /// How many charts are rendered at once.
    public var rendersAtOnce = 4

    /// The limits that hold unless told otherwise.
    public static let standard = DiscoveryLimits()

    /// Makes limits, the standard ones to begin with.
    public init() {}
}
