/// Where fields stand in the file that they were read from, for what is found wrong with them later. Clusters that say the same
/// are the same wherever they say it, so all origins are equal.
public struct Origins: Hashable, Sendable {
    private var places: [String: String] = [:]

    /// Makes none: of a cluster that no file says.
    public init() {}

    /// `Clusterfile:12:5` for a field's path, `spec.appNames[0]`; nil where it is not known.
    public subscript(path: String) -> String? {
        get { places[path] }
        set { places[path] = newValue }
    }

    /// The place of a field, or its path where that is not known.
    public func words(for path: String) -> String { places[path] ?? path }

    /// Always.
    public static func == (left: Origins, right: Origins) -> Bool { true }
    /// Nothing to be told apart by.
    public func hash(into hasher: inout Hasher) {}
}
