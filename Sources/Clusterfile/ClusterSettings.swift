/// How long certificates live, and where the authorities come from.
public struct CertificateSettings: Hashable, Sendable {
    /// Years that an authority's certificate is valid.
    public var authorityYears: Int
    /// Years that every other certificate is valid.
    public var leafYears: Int
    /// A folder on this machine with the user's own authorities, laid out as kubeadm has it; nil to make them.
    public var folder: String?

    /// Makes settings.
    public init(authorityYears: Int = 10, leafYears: Int = 1, folder: String? = nil) {
        self.authorityYears = authorityYears
        self.leafYears = leafYears
        self.folder = folder
    }
}

/// Names that nodes know for an address.
public struct HostAlias: Hashable, Sendable {
    /// The address.
    public var address: IPAddress
    /// The names.
    public var names: [String]

    /// Makes an alias.
    public init(address: IPAddress, names: [String]) {
        self.address = address
        self.names = names
    }
}

/// The registry of a cluster.
public struct RegistrySettings: Hashable, Sendable {
    /// The name that nodes know it by.
    public var domain: String
    /// Its port.
    public var port: UInt16
    /// Whether it runs on every master, or on the first one only.
    public var onEveryMaster: Bool
    /// Further names and addresses in its certificate.
    public var certificateNames: [String]

    /// Makes settings.
    public init(
        domain: String = "sea.hub", port: UInt16 = 5000, onEveryMaster: Bool = true, certificateNames: [String] = []
    ) {
        self.domain = domain
        self.port = port
        self.onEveryMaster = onEveryMaster
        self.certificateNames = certificateNames
    }
}

/// How node containers are made.
public struct NodeContainerSettings: Hashable, Sendable {
    /// The image that they start from.
    public var image: String
    /// Whether they may reach what lies outside their own network.
    public var egress: Bool

    /// The image that node containers start from where nobody names another one.
    public static let defaultImage = "sealer.io/node:debian12"

    /// Makes settings.
    public init(image: String = defaultImage, egress: Bool = false) {
        self.image = image
        self.egress = egress
    }
}
