import ClusterRuntime
import FoundationEssentials
import Remote

/// How a cluster is: what Kubernetes says of its nodes, what it was made of, and where it has drifted from its Clusterfile.
public struct ClusterStatus: Sendable, Encodable {
    /// A host of the Clusterfile, and what is known of it.
    public struct Node: Sendable, Encodable {
        /// The host, as steps name it.
        public var host: String
        /// The node's name; nil as long as the host is not made, or when neither it nor Kubernetes tells.
        public var name: String?
        /// Its roles.
        public var roles: [String]
        /// The address by which the others reach it.
        public var address: String?
        /// `Ready`, or why it is not; of a host that does not answer that, and what Kubernetes says of it.
        public var state: String
        /// kubelet's version.
        public var version: String?
    }

    /// A certificate of a master.
    public struct Certificate: Sendable, Encodable {
        /// The host that has it.
        public var host: String
        /// Its path below `/etc/kubernetes/pki`, without the suffix; the name of the kubeconfig that it is in; or `kubelet-client`.
        public var name: String
        /// The last moment that it is valid, UTC.
        public var ends: String
        /// How many days are left; negative when it has ended.
        public var daysLeft: Int
    }

    /// A command that changes the cluster.
    public struct Change: Sendable, Encodable {
        /// The user's name.
        public var user: String
        /// The machine that the command runs on.
        public var machine: String
        /// The process over there.
        public var process: Int
        /// The command: `sealer apply`.
        public var command: String
        /// How many seconds ago it began to.
        public var age: Int
        /// How many seconds ago it gave its last sign of life.
        public var silent: Int

        /// All of it for people.
        public var words: String {
            "\(user)@\(machine) (\(command), process \(process)) since \(LeaseHolder.words(Double(age))), "
                + "last sign of life \(LeaseHolder.words(Double(silent))) ago"
        }
    }

    /// The cluster's name.
    public var name: String
    /// Who changes the cluster just now; nil when nobody does, or a command that did is dead.
    public var change: Change?
    /// The image that the Clusterfile names.
    public var image: String
    /// Its digest here.
    public var imageDigest: String
    /// The Kubernetes version that the image brings.
    public var kubernetes: String
    /// Whether the API server was seen to answer.
    public var isRunning: Bool
    /// The hosts.
    public var nodes: [Node]
    /// The applications that were launched, or would be.
    public var applications: [String]
    /// The masters' certificates, those that end first in front.
    public var certificates: [Certificate]
    /// What `sealer apply` would do, a line for each step, without what workers need that do not answer. Empty when all that
    /// was seen is what its Clusterfile says (`problems` names the rest), nil when that cannot be told.
    public var drift: [String]?
    /// What could not be looked at and why, a line for each; empty when everything was seen.
    public var problems: [String]
}

extension ClusterStatus.Certificate {
    /// Reads a certificate of a host.
    ///
    /// - Throws: `Failure` of kind `integrity`.
    init(host: String, name: String, pem: Data) throws {
        let expiry = try CertificateExpiry(name: name, pem: pem)
        self.init(
            host: host, name: name, ends: expiry.notAfter.formatted(Date.ISO8601FormatStyle()),
            daysLeft: Int((expiry.notAfter.timeIntervalSinceNow / 86400).rounded(.down)))
    }
}
