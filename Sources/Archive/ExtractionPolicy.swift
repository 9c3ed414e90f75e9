/// What unpacking an archive may do to the file system.
public struct ExtractionPolicy: Sendable {
    /// Whom the files belong to afterwards.
    public enum Ownership: Sendable {
        /// Whoever unpacks.
        case current
        /// Whom the archive says. Needs root.
        case asArchived
    }

    /// What to do with devices and named pipes.
    public enum SpecialFiles: Sendable {
        /// The archive is refused.
        case refuse
        /// They are left out, and named in the summary.
        case skip
        /// They are made. Devices need root.
        case create
    }

    /// Whom the files belong to.
    public var ownership = Ownership.current
    /// What to do with devices and named pipes.
    public var specialFiles = SpecialFiles.refuse
    /// Whether setuid and setgid bits are kept.
    public var keepsSetuid = false
    /// Whether the attributes `user.*` and `security.capability` are set; others never are.
    public var keepsExtendedAttributes = false
    /// Whether `.wh.` names delete, as in layers. If not, they are refused: plain archives have none.
    public var appliesWhiteouts = true
    /// Whether the file system is synced at the end, so that a power cut loses nothing of it.
    public var syncs = false
    /// The most bytes of content in all; the holes of sparse files count like data.
    public var maximumSize: Int64 = 64 << 30
    /// Limits on the archive itself.
    public var tar = TarLimits()

    /// Makes the careful policy: own files, no special files, no setuid, no attributes, whiteouts applied, 64 GiB at most.
    public init() {}
}

/// What unpacking did.
public struct ExtractionSummary: Sendable, Equatable {
    /// Entries read.
    public var entries = 0
    /// Bytes of content: what was written, and the holes of sparse files.
    public var bytes: Int64 = 0
    /// Names that whiteouts deleted.
    public var deleted = 0
    /// Special files that were left out.
    public var skipped: [String] = []
}
