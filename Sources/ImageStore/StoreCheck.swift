import OCI

/// What is wrong with a piece of the store.
public struct StoreDamage: Sendable, Codable, Hashable {
    /// The sorts of damage.
    public enum Kind: String, Sendable, Codable, CaseIterable {
        /// An image needs a blob that is not there.
        case missing
        /// A blob has another size than what refers to it says.
        case truncated
        /// The bytes of a blob do not have its digest.
        case changed
        /// The disk did not give the bytes.
        case unreadable
        /// A manifest or index has its digest, but is none.
        case malformed
        /// Something that is no blob lies among the blobs, or `index.json` has an entry that is none.
        case foreign
    }

    /// The sort of damage.
    public var kind: Kind
    /// The file concerned, below the store.
    public var path: String
    /// What exactly, for people.
    public var detail: String
    /// The blob, when an image refers to it.
    public var blob: Descriptor?
    /// The digest that a damaged blob has in its name, when no image refers to it.
    public var unneeded: Digest? = nil
    /// The images that need it, by name; empty when none does.
    public var images: [String]
    /// The names under which a registry may have it, the likeliest first.
    public var sources: [String]
}

/// What a check of the whole store found.
public struct StoreCheck: Sendable, Codable, Hashable {
    /// How many blobs were read.
    public var blobs = 0
    /// How many bytes they have.
    public var bytes: Int64 = 0
    /// How many names were followed.
    public var images = 0
    /// How many blobs were never finished; garbage collection takes them.
    public var unfinished = 0
    /// What is wrong, sorted by path.
    public var damages: [StoreDamage] = []

    /// Whether nothing is wrong.
    public var isClean: Bool { damages.isEmpty }
}
