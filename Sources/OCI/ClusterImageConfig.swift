/// The `sealer` object of a rootfs' configuration: what a ClusterImage brings and how its applications start.
/// `docs/image-format.md` is its specification.
public struct ClusterImageConfig: Hashable, Sendable, Codable {
    /// The format version that this code writes.
    public static let currentFormatVersion = 1

    /// What the image is for.
    public enum Kind: String, Sendable, Codable {
        /// Brings Kubernetes itself.
        case kubeInstaller = "kube-installer"
        /// Installs on a cluster that is there.
        case appInstaller = "app-installer"
    }

    /// One thing to start, in its order: an application by name or a shell command.
    public enum Launch: Hashable, Sendable, Codable {
        /// An application of the image.
        case app(String)
        /// A command, run by `bash -euo pipefail -c` in the rootfs on the first master.
        case shell(String)

        private enum CodingKeys: String, CodingKey { case app, shell }

        /// Decodes `{"app": …}` or `{"shell": …}`.
        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            if let name = try container.decodeIfPresent(String.self, forKey: .app) {
                self = .app(name)
            } else {
                self = .shell(try container.decode(String.self, forKey: .shell))
            }
        }

        /// Encodes `{"app": …}` or `{"shell": …}`.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            switch self {
            case .app(let name): try container.encode(name, forKey: .app)
            case .shell(let command): try container.encode(command, forKey: .shell)
            }
        }
    }

    /// An application that the image carries.
    public struct App: Hashable, Sendable, Codable {
        /// How an application is installed.
        public enum Kind: String, Sendable, Codable {
            /// A chart: `helm upgrade --install`.
            case helm
            /// Manifests: `kubectl apply`.
            case kube
            /// Scripts: `bash`.
            case shell
        }
        /// Its name.
        public var name: String
        /// How it is installed.
        public var type: Kind
        /// Its folder, relative to the rootfs.
        public var path: String
        /// Environment of its commands only.
        public var env: [String: String]
        /// Commands that replace the generated ones.
        public var commands: [String]

        /// Makes an application.
        public init(name: String, type: Kind, path: String, env: [String: String] = [:], commands: [String] = []) {
            self.name = name
            self.type = type
            self.path = path
            self.env = env
            self.commands = commands
        }
    }

    /// A contained image and the places that asked for it.
    public struct ContainedImage: Hashable, Sendable, Codable {
        /// The fully qualified name.
        public var name: String
        /// The digest that the name resolved to at build time: the upstream index when there is one, else the manifest.
        public var digest: Digest
        /// `FILE:LINE`, relative to the rootfs, sorted.
        public var foundIn: [String]

        /// Makes an entry.
        public init(name: String, digest: Digest, foundIn: [String]) {
            self.name = name
            self.digest = digest
            self.foundIn = foundIn
        }
    }

    /// The version of the format.
    public var formatVersion: Int
    /// What the image is for.
    public var kind: Kind
    /// What starts, in order.
    public var launch: [Launch]
    /// The applications.
    public var apps: [App]
    /// Build arguments with the values that they had.
    public var args: [String: String]
    /// Environment of the launch commands.
    public var env: [String: String]
    /// The Kubernetes versions that the applications support, for instance `>=1.22`.
    public var kubeVersion: String?
    /// The image's default Clusterfile.
    public var clusterfile: String?
    /// The contained images.
    public var images: [ContainedImage]

    /// Makes a configuration of the current version.
    public init(
        kind: Kind,
        launch: [Launch] = [],
        apps: [App] = [],
        args: [String: String] = [:],
        env: [String: String] = [:],
        kubeVersion: String? = nil,
        clusterfile: String? = nil,
        images: [ContainedImage] = []
    ) {
        formatVersion = Self.currentFormatVersion
        self.kind = kind
        self.launch = launch
        self.apps = apps
        self.args = args
        self.env = env
        self.kubeVersion = kubeVersion
        self.clusterfile = clusterfile
        self.images = images
    }
}

/// The labels that the field already uses, read and written under their names.
public enum LabelKey {
    /// The Kubernetes version, `v1.20.2`.
    public static let runtimeVersion = "cluster.alpha.sealer.io/cluster-runtime-version"
    /// Prefix of the labels that name the pod networks that an image brings.
    public static let podNetworkPrefix = "cluster.alpha.sealer.io/kube-cni-"
}
