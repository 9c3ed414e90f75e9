import OCI
import Report

extension Cluster {
    /// A field of a cluster, to say which one a remark is about.
    public enum Field: String, Sendable, Hashable, CaseIterable {
        /// The name.
        case name = "metadata.name"
        /// The number of masters.
        case masters = "spec.masters.count"
        /// The number of nodes.
        case nodes = "spec.nodes.count"
        /// The pods' network.
        case podNetwork = "spec.network.podCIDR"
        /// The services' network.
        case serviceNetwork = "spec.network.svcCIDR"
        /// The environment.
        case environment = "spec.env"
        /// The names in the API server's certificate.
        case certificateNames = "spec.certSANs"
        /// The image of node containers.
        case nodeImage = "spec.container.nodeImage"
    }

    /// Something that is wrong with a cluster, or probably not meant.
    public struct Problem: Sendable, Hashable {
        /// Which field it is about.
        public var field: Field
        /// Whether the cluster cannot be made because of it.
        public var severity: Diagnostic.Severity
        /// What is there, and what was expected.
        public var message: String
    }

    /// Checks a cluster that was made in code, by the rules that Clusterfiles are checked by.
    ///
    /// - Returns: the messages of what is probably not meant.
    /// - Throws: `Failure` of kind `invalidInput` that names all mistakes.
    @discardableResult
    public func check() throws(Failure) -> [String] {
        let problems = problems
        let mistakes = problems.filter { $0.severity == .error }.map(\.message)
        guard mistakes.isEmpty else {
            throw Failure(.invalidInput, mistakes.joined(separator: "; "))
        }
        return problems.map(\.message)
    }

    /// Checks a cluster's name.
    ///
    /// - Throws: `Failure` of kind `invalidInput`.
    public static func checkName(_ name: String) throws(Failure) {
        if let problem = nameProblem(name) { throw Failure(.invalidInput, problem) }
    }

    private static func nameProblem(_ name: String) -> String? {
        func isLetterOrDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte) }
        let bytes = Array(name.utf8)
        // Host names are made of it: DNS labels have 63 characters, and a host's role and number need some of them.
        if let first = bytes.first, let last = bytes.last, bytes.count <= 40, isLetterOrDigit(first),
            isLetterOrDigit(last), bytes.allSatisfy({ isLetterOrDigit($0) || $0 == UInt8(ascii: "-") })
        {
            return nil
        }
        let shown = String(name.prefix(60))
        return "\"\(shown)\" is not a cluster's name: at most 40 lower-case letters, digits and - were expected,"
            + " a letter or digit at both ends"
    }

    /// All that is wrong, in the order of the fields.
    public var problems: [Problem] {
        var problems: [Problem] = []
        func report(_ field: Field, _ message: String, _ severity: Diagnostic.Severity = .error) {
            problems.append(Problem(field: field, severity: severity, message: message))
        }
        if let problem = Self.nameProblem(name) { report(.name, problem) }
        if masters < 1 {
            report(.masters, "a cluster needs a master, \(masters) were asked for")
        } else if masters > 1 {
            report(.masters, "several masters are not supported yet, 1 was expected and \(masters) were asked for")
        }
        if masters > 1, masters.isMultiple(of: 2) {
            let message = "etcd on \(masters) masters survives no more losses than on \(masters - 1): use an odd number"
            report(.masters, message, .warning)
        }
        if !(0...Self.mostNodes).contains(nodes) {
            report(.nodes, "0 to \(Self.mostNodes) nodes were expected, \(nodes) were asked for")
        }
        checkNetworks(report)
        for name in environment.keys.sorted() where !Self.isVariableName(name) {
            report(.environment, Self.variableProblem(name))
        }
        for name in certificateNames where !Self.isHostName(name) {
            report(.certificateNames, "\"\(name.prefix(80))\" is neither a host name nor an IPv4 address")
        }
        do throws(Failure) { _ = try Reference(nodeImage) } catch { report(.nodeImage, error.what) }
        return problems
    }

    /// More hosts than this are a slip of the finger, as long as all of them are on one machine.
    static let mostNodes = 100

    private func checkNetworks(_ report: (Field, String, Diagnostic.Severity) -> Void) {
        // kubeadm gives each node 256 addresses for its pods, and allows 65536 nodes.
        let hosts = max(masters, 0) + max(nodes, 0)
        if !(8...24).contains(podNetwork.prefixLength) {
            report(.podNetwork, "the pods' network \(podNetwork) must have a length from /8 to /24", .error)
        } else if hosts > 1 << (24 - podNetwork.prefixLength) {
            let message = "the pods' network \(podNetwork) is too small: each of the \(hosts) hosts needs 256 addresses"
            report(.podNetwork, message, .error)
        }
        // The API server takes no larger one, and cluster DNS has the tenth address.
        if !(12...28).contains(serviceNetwork.prefixLength) {
            report(
                .serviceNetwork, "the services' network \(serviceNetwork) must have a length from /12 to /28", .error)
        }
        for (field, network) in [(Field.podNetwork, podNetwork), (.serviceNetwork, serviceNetwork)] {
            if let (reserved, what) = Self.reserved.first(where: { $0.0.overlaps(network) }) {
                report(field, "the network \(network) overlaps \(reserved), which is for \(what)", .error)
            }
        }
        if podNetwork.overlaps(serviceNetwork) {
            let message = "the services' network \(serviceNetwork) overlaps the pods' network \(podNetwork)"
            report(.serviceNetwork, message, .error)
        }
    }

    private static let reserved: [(IPv4Network, String)] = [
        (IPv4Network(containing: IPv4Address(number: 0), prefixLength: 8), "addresses that are not known yet"),
        (IPv4Network(containing: IPv4Address(number: 0x7f00_0000), prefixLength: 8), "the machine itself"),
        (IPv4Network(containing: IPv4Address(number: 0xa9fe_0000), prefixLength: 16), "link-local addresses"),
        (IPv4Network(containing: IPv4Address(number: 0xe000_0000), prefixLength: 3), "multicast and nothing else"),
    ]

    /// What a shell takes as a variable's name.
    static func isVariableName(_ name: String) -> Bool {
        guard let first = name.utf8.first, !(0x30...0x39).contains(first) else { return false }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x5f: true
            default: false
            }
        }
    }

    static func variableProblem(_ name: String) -> String {
        "\"\(name.prefix(60))\" is not a variable's name: letters, digits and _ were expected, no digit first"
    }

    private static func isHostName(_ name: String) -> Bool {
        guard (1...253).contains(name.utf8.count) else { return false }
        // All digits and dots: an address, or a slip.
        if name.allSatisfy({ $0.isWholeNumber || $0 == "." }) { return IPv4Address(name) != nil }
        return name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.count) && label.first != 0x2d && label.last != 0x2d
                && label.allSatisfy {
                    (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) || (0x41...0x5a).contains($0) || $0 == 0x2d
                }
        }
    }
}
