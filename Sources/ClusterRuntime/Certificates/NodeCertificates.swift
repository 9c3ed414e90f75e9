import FoundationEssentials
import Report
import SwiftASN1
import X509

/// The certificates of one master, with kubeadm's file names, subjects and usages: kubeadm finds them and makes none.
public struct NodeCertificates: Sendable {
    /// The files below kubeadm's folder (`/etc/kubernetes/pki`), certificates and keys, without the authorities'.
    public let files: [CertificateFile]

    /// The certificates that a master has, authorities included: paths below kubeadm's folder, without the suffix.
    public static let names = [
        "apiserver", "apiserver-kubelet-client", "apiserver-etcd-client", "front-proxy-client", "etcd/server",
        "etcd/peer",
        "etcd/healthcheck-client", "ca", "front-proxy-ca", "etcd/ca",
    ]

    /// What stands in the certificates of a master.
    public struct Names: Hashable, Sendable {
        /// The name of the master's Kubernetes node.
        public var node: String
        /// The master's addresses, IPv4 or IPv6.
        public var addresses: [String]
        /// The domain of the cluster's DNS.
        public var dnsDomain: String
        /// The services' networks, `10.96.0.0/12`: their first addresses are the API server's.
        public var serviceNetworks: [String]
        /// Further names and addresses of the API server.
        public var more: [String]

        /// Makes names.
        public init(
            node: String, addresses: [String], dnsDomain: String = "cluster.local", serviceNetworks: [String],
            more: [String] = []
        ) {
            self.node = node
            self.addresses = addresses
            self.dnsDomain = dnsDomain
            self.serviceNetworks = serviceNetworks
            self.more = more
        }
    }

    /// Makes the certificates.
    ///
    /// - Parameters:
    ///   - years: how long they are valid, at least 1; they end with their authority at the latest.
    /// - Throws: `Failure` of kind `invalidInput` for an address or a network that is none.
    public init(_ names: Names, authorities: ClusterAuthorities, years: Int = 1, now: Date = .now) throws {
        for address in names.addresses where AddressOctets(address) == nil {
            throw Failure(.invalidInput, "\"\(address)\" is not an IP address", at: names.node)
        }
        let services = try names.serviceNetworks.map { network in
            guard let first = AddressOctets(firstOf: network) else {
                throw Failure(.invalidInput, "\"\(network)\" is not a network such as 10.96.0.0/12", at: names.node)
            }
            return GeneralName.ipAddress(.init(contentBytes: first.bytes[...]))
        }
        let server = CertificateBuilder.alternatives(
            [
                "kubernetes", "kubernetes.default", "kubernetes.default.svc",
                "kubernetes.default.svc.\(names.dnsDomain)", names.node, ClusterNames.apiServer, "localhost",
                "127.0.0.1", "::1",
            ] + names.addresses + names.more)
        let etcd = CertificateBuilder.alternatives([names.node, "localhost", "127.0.0.1", "::1"] + names.addresses)
        let builder = CertificateBuilder(now: now)
        var files: [CertificateFile] = []
        func add(_ path: String, under authority: CertificatePair, _ leaf: CertificateBuilder.Leaf) throws {
            files += try CertificateFile.pair(path, try builder.leaf(leaf, under: authority, years: years))
        }
        let administrators = "system:masters"
        try add(
            "apiserver", under: authorities.kubernetes,
            .init(
                commonName: "kube-apiserver", usages: [.serverAuth],
                alternatives: server + services.filter { !server.contains($0) }))
        try add(
            "apiserver-kubelet-client", under: authorities.kubernetes,
            .init(
                commonName: "kube-apiserver-kubelet-client", organization: administrators, usages: [.clientAuth]))
        try add(
            "front-proxy-client", under: authorities.frontProxy,
            .init(commonName: "front-proxy-client", usages: [.clientAuth]))
        for name in ["etcd/server", "etcd/peer"] {
            try add(
                name, under: authorities.etcd,
                .init(commonName: names.node, usages: [.serverAuth, .clientAuth], alternatives: etcd))
        }
        try add(
            "etcd/healthcheck-client", under: authorities.etcd,
            .init(
                commonName: "kube-etcd-healthcheck-client", organization: administrators, usages: [.clientAuth]))
        try add(
            "apiserver-etcd-client", under: authorities.etcd,
            .init(
                commonName: "kube-apiserver-etcd-client", organization: administrators, usages: [.clientAuth]))
        self.files = files
    }
}
