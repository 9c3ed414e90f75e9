/// A change to a file of the rootfs: a document of kind Config.
public struct ConfigOverlay: Hashable, Sendable {
    /// How the data meets what the file holds.
    public enum Strategy: String, Hashable, Sendable, CaseIterable {
        /// The data becomes the file.
        case overwrite
        /// The data's keys are laid over the file's, YAML document by YAML document.
        case merge
    }

    /// The document's name.
    public var name: String
    /// The file's path in the rootfs, relative, without `..`.
    public var path: String
    /// How the data meets what the file holds.
    public var strategy: Strategy
    /// What is written or merged; YAML for `merge`.
    public var data: String

    /// Makes a change.
    public init(name: String, path: String, strategy: Strategy = .overwrite, data: String) {
        self.name = name
        self.path = path
        self.strategy = strategy
        self.data = data
    }
}
