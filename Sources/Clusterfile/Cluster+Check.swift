import Report
import YAML

extension Cluster {
    /// Something that is wrong with a cluster, or probably not meant.
    public struct Problem: Sendable, Hashable {
        /// The field that it is about, as the file that `text` writes has it: `spec.hosts[1].ips[0]`,
        /// `plugins[0].scope[1]`.
        public var path: String
        /// The other field that it is about: the first of two that exclude each other.
        public var related: String?
        /// The place within the field's own text, when that is one of several lines.
        public var inner: YAMLMark?
        /// Whether the cluster cannot be made because of it.
        public var severity: Diagnostic.Severity
        /// What is there, and what was expected.
        public var message: String
    }

    /// The most hosts of a cluster, which is what Kubernetes says that it is made for.
    public static let mostHosts = 5000
    /// The most masters: etcd gets slower, not safer, with more.
    public static let mostMasters = 7
    /// More node containers than this are a slip of the finger, as all of them are on one machine.
    public static let mostContainers = 100
    /// Years that certificates may be valid.
    static let certificateYears = 1...100
    /// Seconds that a plugin may take: up to a day.
    static let pluginSeconds = 1...86400

    /// All that is wrong, or probably not meant.
    public var problems: [Problem] {
        var checker = ClusterChecker(cluster: self)
        checker.run()
        return checker.problems
    }

    /// Checks a cluster that was made in code, by the rules that Clusterfiles are checked by.
    ///
    /// - Returns: the messages of what is probably not meant.
    /// - Throws: `Failure` of kind `invalidInput` that names all mistakes.
    @discardableResult
    public func check() throws(Failure) -> [String] {
        let problems = problems
        let mistakes = problems.filter { $0.severity == .error }
        guard mistakes.isEmpty else {
            throw Failure(.invalidInput, mistakes.map(\.message).joined(separator: "; "))
        }
        return problems.map(\.message)
    }

    /// Checks a cluster's name.
    ///
    /// - Throws: `Failure` of kind `invalidInput`.
    public static func checkName(_ name: String) throws(Failure) {
        if let problem = nameProblem(name) { throw Failure(.invalidInput, problem) }
    }

    /// What is wrong with a cluster's name.
    static func nameProblem(_ name: String) -> String? {
        // Host names are made of it: DNS labels have 63 characters, and a host's role and number need some of them.
        if name.utf8.count <= 40,
            Spelling.isLowerHostName(name) || name.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            !name.isEmpty, !name.contains(".")
        {
            return nil
        }
        return "\"\(shown(name))\" is not a cluster's name: at most 40 lower-case letters, digits and - were expected,"
            + " a letter or digit at both ends"
    }

    // MARK: - What messages say of names

    static func shown(_ text: String) -> String { String(text.prefix(60).filter { !$0.isNewline }) }

    static func variableProblem(_ name: String) -> String {
        "\"\(shown(name))\" is not a variable's name: letters, digits and _ were expected, no digit first"
    }

    static func keyProblem(_ key: String) -> String {
        "\"\(shown(key))\" is not a key: at most 63 letters, digits, -, _ and . were expected, a letter or digit"
            + " at both"
            + " ends, with a DNS name and / before it or without"
    }

    static func valueProblem(_ value: String) -> String {
        "\"\(shown(value))\" is not a value: at most 63 letters, digits, -, _ and . were expected, a letter or digit at"
            + " both ends"
    }

    /// By these Kubernetes' own tools know masters.
    public static let controlPlaneLabels = [
        "node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master",
    ]

    static func labelProblem(_ key: String, _ value: String) -> String? {
        if controlPlaneLabels.contains(key) {
            return "the label \(key) is kubeadm's own for masters: the role master was expected instead"
        }
        if !Spelling.isKey(key) { return "the label's key \(keyProblem(key))" }
        if !Spelling.isValue(value) { return "the label's value \(valueProblem(value))" }
        return nil
    }

    static func nodeNameProblem(_ name: String) -> String {
        "\"\(shown(name))\" is not a node's name: at most 63 lower-case letters, digits, - and . were expected,"
            + " a letter or digit at both ends of each part"
    }
}
