import Clusterfile
import FoundationEssentials
import Remote
import Report
import SystemPackage
import YAML

/// A cluster that runs, asked through one of its masters; nothing need be known of it before, and nothing is changed.
public struct RunningCluster: Sendable {
    /// Where sealer keeps what it knows of a cluster: a ConfigMap in kube-system.
    static let recordName = "sealer-cluster"
    private static let kubeadmName = "kubeadm-config"

    private let master: any Host

    /// - Parameter master: a host that runs the control plane.
    public init(through master: any Host) {
        self.master = master
    }

    /// A ConfigMap, as far as it matters here.
    struct ConfigMap: Codable {
        struct Metadata: Codable {
            var name: String
            var namespace: String
        }
        var apiVersion = "v1"
        var kind = "ConfigMap"
        var metadata: Metadata
        var data: [String: String]?
    }

    /// What sealer keeps of the cluster in the cluster itself; nil when it keeps nothing.
    public func record() async throws -> [String: String]? {
        try await configMap(Self.recordName)
    }

    /// What the API server says of the nodes.
    public func nodes() async throws -> [NodeStatus] {
        try NodeStatus.list(fromJSON: try await ask(["get", "nodes", "--output=json"], "list the nodes"))
    }

    /// The networks that kubeadm was given; nil when it left no word of them.
    public func network() async throws -> ClusterNetwork? {
        guard let text = try await configMap(Self.kubeadmName)?["ClusterConfiguration"] else { return nil }
        let document = try YAMLDocuments.parseOne(text, file: "kube-system/\(Self.kubeadmName)")
        func networks(_ field: String) throws -> [IPNetwork]? {
            guard let text = document.at("networking", field)?.string, !text.isEmpty else { return nil }
            return try text.split(separator: ",").map { try IPNetwork(String($0.filter { $0 != " " })) }
        }
        guard let pods = try networks("podSubnet"), let services = try networks("serviceSubnet") else { return nil }
        return ClusterNetwork(pods: pods, services: services)
    }

    private func configMap(_ name: String) async throws -> [String: String]? {
        let bytes = try await ask(
            ["--namespace=kube-system", "get", "configmap", name, "--ignore-not-found", "--output=json"],
            "read the ConfigMap kube-system/\(name)")
        guard !bytes.isEmpty else { return nil }
        do {
            return try JSONDecoder().decode(ConfigMap.self, from: bytes).data ?? [:]
        } catch {
            throw Failure(
                .integrity, "the ConfigMap kube-system/\(name) cannot be read", at: master.name, causes: [error])
        }
    }

    /// - Parameter purpose: completes the message `cannot …`.
    private func ask(_ arguments: [String], _ purpose: String) async throws -> Data {
        let command = RemoteCommand(
            ["kubectl", "--kubeconfig", Kubeadm.administratorFile.string, "--request-timeout=10s"] + arguments)
        let result = try await master.run(command, limit: .seconds(30)) { _ in }
        guard result.status == 0 else {
            throw Failure(
                .commandFailed,
                "cannot \(purpose): \(result.errorText.split(separator: "\n").suffix(5).joined(separator: "\n"))",
                at: master.name)
        }
        return result.output
    }
}
