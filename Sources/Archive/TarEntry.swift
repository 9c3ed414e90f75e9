/// One entry of a tar archive: what a header, with its extensions, says.
public struct TarEntry: Sendable, Hashable {
    /// What an entry is.
    public enum Kind: Sendable, Hashable {
        /// A regular file; its content follows.
        case file
        /// A folder.
        case folder
        /// A symbolic link to `linkName`.
        case symbolicLink
        /// Another name of the entry `linkName`.
        case hardLink
        /// A character device.
        case characterDevice
        /// A block device.
        case blockDevice
        /// A named pipe.
        case fifo
        /// A type that this project does not know, by its type flag.
        case other(UInt8)
    }

    /// What the entry is.
    public var kind: Kind
    /// The name as the archive has it, unchecked: any bytes but NUL. `ArchivePath` is the checked form.
    public var name: [UInt8]
    /// The target of a link as the archive has it, unchecked.
    public var linkName: [UInt8]
    /// Bytes of content; 0 for all but files. A sparse file's holes count, stored or not.
    public var size: Int64
    /// The mode's lower twelve bits: permissions, setuid, setgid, sticky.
    public var permissions: UInt32
    /// The owner's number.
    public var userID: UInt32
    /// The group's number.
    public var groupID: UInt32
    /// Seconds since 1970.
    public var modified: Int64
    /// Nanoseconds beyond `modified`.
    public var modifiedNanoseconds: Int32
    /// A device's major number.
    public var deviceMajor: UInt32
    /// A device's minor number.
    public var deviceMinor: UInt32
    /// Extended attributes by name.
    public var extendedAttributes: [String: [UInt8]]

    /// Makes an entry.
    public init(
        _ kind: Kind,
        name: [UInt8],
        linkName: [UInt8] = [],
        size: Int64 = 0,
        permissions: UInt32 = 0o644,
        userID: UInt32 = 0,
        groupID: UInt32 = 0,
        modified: Int64 = 0,
        modifiedNanoseconds: Int32 = 0,
        deviceMajor: UInt32 = 0,
        deviceMinor: UInt32 = 0,
        extendedAttributes: [String: [UInt8]] = [:]
    ) {
        self.kind = kind
        self.name = name
        self.linkName = linkName
        self.size = size
        self.permissions = permissions
        self.userID = userID
        self.groupID = groupID
        self.modified = modified
        self.modifiedNanoseconds = modifiedNanoseconds
        self.deviceMajor = deviceMajor
        self.deviceMinor = deviceMinor
        self.extendedAttributes = extendedAttributes
    }

    /// The name for messages and for comparing with known names; bytes that are no UTF-8 are replaced.
    public var displayName: String { String(decoding: name, as: UTF8.self) }
}

/// What a tar archive of a stranger may hold.
public struct TarLimits: Sendable {
    /// The most bytes of one entry's extension headers (PAX records, GNU long names).
    public var maximumExtensionSize: Int
    /// The most entries.
    public var maximumEntries: Int
    /// The most pieces of data in the map of one sparse file.
    public var maximumSparsePieces: Int
    /// What the sparse files may unpack to: the sum of their sizes, holes included, against the bytes of the archive so far. Holes
    /// cost an archive nothing, so they are bounded as packed bytes are.
    public var sparse: DecompressionLimits

    /// Makes limits; the defaults are 1 MiB of extensions an entry, two million entries, and sparse files of 100,000 pieces that
    /// unpack to no more than `DecompressionLimits.standard` allows.
    public init(
        maximumExtensionSize: Int = 1 << 20,
        maximumEntries: Int = 2_000_000,
        maximumSparsePieces: Int = 100_000,
        sparse: DecompressionLimits = .standard
    ) {
        self.maximumExtensionSize = maximumExtensionSize
        self.maximumEntries = maximumEntries
        self.maximumSparsePieces = maximumSparsePieces
        self.sparse = sparse
    }
}
