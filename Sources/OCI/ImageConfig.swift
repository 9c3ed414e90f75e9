/// An image's configuration (OCI image specification 1.1, "Image Configuration"), as far as we read or write it, with the
/// `sealer` object that makes it the configuration of a ClusterImage's rootfs.
public struct ImageConfig: Hashable, Sendable, Codable {
    /// What a container runtime would run.
    public struct Execution: Hashable, Sendable, Codable {
        /// `KEY=value` lines.
        public var env: [String]?
        /// The default arguments.
        public var cmd: [String]?
        /// The program.
        public var entrypoint: [String]?
        /// Labels.
        public var labels: [String: String]?
        /// The working directory.
        public var workingDir: String?
        /// The user.
        public var user: String?

        private enum CodingKeys: String, CodingKey {
            case env = "Env"
            case cmd = "Cmd"
            case entrypoint = "Entrypoint"
            case labels = "Labels"
            case workingDir = "WorkingDir"
            case user = "User"
        }

        /// Makes an empty one, with labels.
        public init(labels: [String: String]? = nil) {
            self.labels = labels
        }
    }

    /// The layers' digests before compression.
    public struct RootFS: Hashable, Sendable, Codable {
        /// Always `layers`.
        public var type: String
        /// One digest a layer, base first.
        public var diffIDs: [Digest]

        private enum CodingKeys: String, CodingKey {
            case type
            case diffIDs = "diff_ids"
        }

        /// Makes the list.
        public init(diffIDs: [Digest]) {
            type = "layers"
            self.diffIDs = diffIDs
        }
    }

    /// How a layer came to be.
    public struct History: Hashable, Sendable, Codable {
        /// The instruction.
        public var createdBy: String?
        /// Whether it made no layer.
        public var emptyLayer: Bool?

        private enum CodingKeys: String, CodingKey {
            case createdBy = "created_by"
            case emptyLayer = "empty_layer"
        }

        /// Makes an entry.
        public init(createdBy: String, emptyLayer: Bool = false) {
            self.createdBy = createdBy
            self.emptyLayer = emptyLayer ? true : nil
        }
    }

    /// When it was built, RFC 3339; absent unless `SOURCE_DATE_EPOCH` gave a time.
    public var created: String?
    /// GOARCH.
    public var architecture: String
    /// GOOS.
    public var os: String
    /// The processor's variant.
    public var variant: String?
    /// Environment, command, labels.
    public var config: Execution?
    /// The layers.
    public var rootfs: RootFS
    /// How the layers came to be.
    public var history: [History]?
    /// What makes the image a ClusterImage.
    public var sealer: ClusterImageConfig?

    /// Makes a configuration.
    public init(
        platform: Platform,
        config: Execution? = nil,
        rootfs: RootFS,
        history: [History]? = nil,
        sealer: ClusterImageConfig? = nil
    ) {
        architecture = platform.architecture
        os = platform.os
        variant = platform.variant
        self.config = config
        self.rootfs = rootfs
        self.history = history
        self.sealer = sealer
    }

    /// What it runs on.
    public var platform: Platform { Platform(os: os, architecture: architecture, variant: variant) }
}
