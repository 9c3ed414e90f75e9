import FoundationEssentials
import Report

/// A field of a cluster's configuration that is to be another one than the cluster was given.
public struct ConfigurationChange: Hashable, Sendable {
    /// What of a cluster a field concerns.
    public enum Part: String, Hashable, Sendable, Codable, CaseIterable {
        /// API server, controller manager and scheduler on every master.
        case controlPlane = "control-plane"
        /// etcd on every master.
        case etcd
        /// kubelet on every node.
        case kubelet
        /// kube-proxy on every node.
        case kubeProxy = "kube-proxy"
        /// The cluster's DNS.
        case dns
        /// What a cluster that is there cannot change any more.
        case fixed
    }

    /// The field: `ClusterConfiguration.apiServer.extraArgs.audit-log-path`.
    public let path: String
    /// The value that the cluster was given, canonical JSON; nil for none.
    public let old: String?
    /// The value that is wanted, canonical JSON; nil for none.
    public let new: String?

    /// Makes a change.
    public init(path: String, old: String?, new: String?) {
        self.path = path
        self.old = old
        self.new = new
    }

    /// Paths and what is below them, the first that fits counts. What is in no line cannot be changed: kubeadm looks at it
    /// once, or everything hangs on it.
    private static let parts: [(path: String, part: Part)] = [
        ("ClusterConfiguration.apiServer", .controlPlane), ("ClusterConfiguration.controllerManager", .controlPlane),
        ("ClusterConfiguration.scheduler", .controlPlane), ("ClusterConfiguration.featureGates", .controlPlane),
        ("ClusterConfiguration.dns", .dns),
        ("KubeletConfiguration", .kubelet), ("KubeProxyConfiguration", .kubeProxy),
        ("InitConfiguration.nodeRegistration.kubeletExtraArgs", .kubelet),
        ("JoinConfiguration.nodeRegistration.kubeletExtraArgs", .kubelet),
    ]

    /// etcd's arguments by their beginnings that say who a member is, where its data are and how it is reached: with another one
    /// it would not be the same member.
    private static let fixedArguments = [
        "name", "data-dir", "wal-dir", "initial-", "listen-peer-", "listen-client-", "advertise-", "force-new-cluster",
        "discovery",
        "cert-", "key-", "trusted-ca-", "client-cert-", "client-crl-", "peer-", "auto-tls", "ca-", "config-file",
        "proxy",
    ]

    /// What of the cluster it concerns.
    public var part: Part {
        let etcd = "ClusterConfiguration.etcd.local.extraArgs."
        if path.hasPrefix(etcd) {
            let name = path.dropFirst(etcd.count)
            return Self.fixedArguments.contains { name.hasPrefix($0) } ? .fixed : .etcd
        }
        return Self.parts.first { path == $0.path || path.hasPrefix($0.path + ".") || path.hasPrefix($0.path + "[") }?
            .part
            ?? .fixed
    }

    // MARK: - For people

    /// The field as the user knows it: the Clusterfile's word where it has one.
    public var field: String {
        switch path {
        case "ClusterConfiguration.networking.podSubnet": "spec.network.podCIDR"
        case "ClusterConfiguration.networking.serviceSubnet": "spec.network.svcCIDR"
        default: path
        }
    }

    /// `KubeletConfiguration.maxPods was 110, 77 is wanted`.
    public var words: String {
        let before = old.map { "was \(Self.shown($0))" } ?? "was not set"
        return "\(field) \(before), \(new.map { "\(Self.shown($0)) is" } ?? "nothing is") wanted"
    }

    /// A text without its quotes where that can be read, everything else as JSON has it, long values cut.
    private static func shown(_ json: String) -> String {
        var text = json
        if json.first == "\"" {
            do {
                let bare = try JSONDecoder().decode(String.self, from: Data(json.utf8))
                let isReadable = !bare.isEmpty && bare.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value != 0x7f }
                if isReadable { text = bare }
            } catch {
                // A record that somebody wrote by hand: shown as it is.
                text = json
            }
        }
        return text.count > 200 ? "\(text.prefix(200))…" : text
    }

    /// Refuses changes that a cluster which is there cannot take any more, all in one failure; nil when there are none.
    ///
    /// - Parameter cluster: the cluster's name.
    public static func refusal(of changes: [ConfigurationChange], in cluster: String) -> Failure? {
        let fixed = changes.filter { $0.part == .fixed }
        guard !fixed.isEmpty else { return nil }
        return Failure(
            .conflict,
            "cannot be changed in a cluster that is there: \(fixed.map(\.words).joined(separator: "; "))", at: cluster,
            remedy: "take the former values back into the Clusterfile, or delete the cluster and make it anew")
    }
}
