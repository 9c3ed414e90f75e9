import Clusterfile
import Report
import Testing

/// What is wrong with a text, a line for each mistake and warning.
func mistakes(_ text: String) -> [String] {
    do throws(InvalidText) {
        return try Cluster.parse(text).warnings.map(\.description)
    } catch {
        return error.diagnostics.map(\.description)
    }
}

/// A right Clusterfile of two hosts; a line more of its specification stands in line 9, from column 3.
func file(_ specification: String, name: String = "demo") -> String {
    """
    apiVersion: sealer.io/v2
    kind: Cluster
    metadata: {name: \(name)}
    spec:
      image: hello
      hosts:
        - {ips: [192.168.0.2], roles: [master]}
        - {ips: [192.168.0.3], roles: [node]}
    \(specification.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)" }.joined(separator: "\n"))
    """
}

/// A right Clusterfile but for its hosts, which stand in line 6, from column 5.
func file(hosts: String) -> String {
    """
    # hosts
    apiVersion: sealer.io/v2
    kind: Cluster
    metadata: {name: demo}
    spec: {image: hello, hosts: [
        \(hosts.split(separator: "\n").joined(separator: "\n    "))
      ]}
    """
}

/// A right Clusterfile of two hosts, and another document, which begins in line 8.
func file(document: String) -> String {
    """
    apiVersion: sealer.io/v2
    kind: Cluster
    metadata: {name: demo}
    spec:
      image: hello
      hosts: [{ips: [192.168.0.2], roles: [master]}, {ips: [192.168.0.3], roles: [node, db]}]
    ---
    \(document)
    """
}

/// A right Clusterfile in the short form, but for a line more of its specification, which stands in line 7, from column 3.
func shortFile(_ specification: String, version: String = "sealer.io/v2") -> String {
    """
    apiVersion: \(version)
    kind: Cluster
    metadata: {name: demo}
    spec:
      image: hello
      provider: container
    \(specification.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)" }.joined(separator: "\n"))
    """
}

/// A text, and the mistakes and warnings that are expected of it.
struct Case: Sendable, CustomTestStringConvertible {
    var text: String
    var expected: [String]

    init(_ text: String, _ expected: String...) {
        self.init(text, all: expected)
    }

    init(_ text: String, all expected: [String]) {
        self.text = text
        self.expected = expected.flatMap { $0.split(separator: "\n") }.map { "Clusterfile:\($0)" }
    }

    var testDescription: String { text }
}
