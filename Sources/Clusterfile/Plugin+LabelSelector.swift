extension Plugin {
    /// A word of a scope that means the hosts with a label: `disk=ssd`, or `disk=` for the empty value.
    public struct LabelSelector: Hashable, Sendable {
        /// The label's key.
        public var key: String
        /// The label's value.
        public var value: String

        /// Reads a word of a scope; nil for one without `=`, which is a role or an address.
        public init?(_ word: String) {
            guard let equals = word.firstIndex(of: "=") else { return nil }
            key = String(word[..<equals])
            value = String(word[word.index(after: equals)...])
        }

        /// Whether hosts with these roles and labels in the Clusterfile are meant. The labels by which Kubernetes knows masters stand
        /// in no Clusterfile, and are all masters'.
        public func selects(roles: [String], labels: [String: String]) -> Bool {
            if Cluster.controlPlaneLabels.contains(key) { return value.isEmpty && roles.contains(HostGroup.master) }
            return labels[key] == value
        }

        /// What is wrong with it.
        var problem: String? {
            if !Spelling.isKey(key) { return "the label's key \(Cluster.keyProblem(key))" }
            if !Spelling.isValue(value) { return "the label's value \(Cluster.valueProblem(value))" }
            return nil
        }
    }
}
