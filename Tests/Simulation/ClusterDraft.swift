import ClusterRuntime
import Clusterfile
import FoundationEssentials
import Remote
import TestSupport

/// A Clusterfile that changes as its user likes.
package struct ClusterDraft {
    var masters: [String]
    var workers: [String]
    var disk = "ssd"
    var alias = "old.local"
    /// What a Config document sets; nil for none.
    var size: Int?
    /// What kubelet is told; nil for nothing.
    var maxPods: Int?
    /// What kube-proxy is told, in seconds; nil for nothing.
    var syncPeriod: Int?
    /// Whether every master runs the registry.
    var ha = true
    var hasPlugins: Bool
    /// A folder with the cluster's authorities; nil to have them made.
    var authorities: String?

    var text: String {
        let workers =
            workers.isEmpty
            ? "" : "    - {ips: [\(workers.joined(separator: ", "))], roles: [node, db], labels: {disk: \(disk)}}\n"
        return """
            apiVersion: sealer.io/v2
            kind: Cluster
            metadata: {name: fleet}
            spec:
              image: \(SimulatedImage.name)
              registry: {localRegistry: {ha: \(ha)}}
              \(authorities.map { "certificates: {folder: \($0)}\n  " } ?? "")hostAliases: [{ip: 10.9.9.9, hostnames: [\(alias)]}]
              hosts:
                - {ips: [\(masters.joined(separator: ", "))], roles: [master]}
            \(workers)
            """
                + (size.map { size in
                    """

                    ---
                    apiVersion: sealer.io/v2
                    kind: Config
                    metadata: {name: values}
                    spec: {path: values.yaml, strategy: merge, data: "size: \(size)"}
                    """
                } ?? "")
                + (maxPods.map { pods in
                    """

                    ---
                    apiVersion: kubelet.config.k8s.io/v1beta1
                    kind: KubeletConfiguration
                    maxPods: \(pods)
                    """
                } ?? "")
                + (syncPeriod.map { seconds in
                    """

                    ---
                    apiVersion: kubeproxy.config.k8s.io/v1alpha1
                    kind: KubeProxyConfiguration
                    iptables: {syncPeriod: \(seconds)s}
                    """
                } ?? "")
                + (hasPlugins
                    ? """

                    ---
                    apiVersion: sealer.io/v1
                    kind: Plugin
                    metadata: {name: script}
                    spec: {type: SHELL, action: pre-init-host|post-init-host|post-scaleup|pre-clean-host, data: "echo ran"}
                    ---
                    apiVersion: sealer.io/v1
                    kind: Plugin
                    metadata: {name: name}
                    spec: {type: HOSTNAME, action: pre-init-host, data: "\(masters[0]) first"}

                    """ : "")
    }

    func cluster() throws -> Cluster { try Cluster.parse(text, file: "Clusterfile").cluster }
}

extension ClusterDraft {
    /// Something happens to the cluster, or its user changes the Clusterfile.
    mutating func change(_ world: SimulatedWorld, number: Int, _ dice: inout SeededGenerator) {
        switch Int.random(in: 0..<21, using: &dice) {
        case 19, 20:
            // A master dies for good, and its user gives it up; perhaps another one, which lives, with it.
            guard masters.count > 2, let address = masters.popLast() else { return }
            if Bool.random(using: &dice), !hasPlugins { masters.removeFirst() }
            world.with { state in
                state.machines[address]?.isOff = true
                for name in state.nodes.keys where state.nodes[name]?.address == address {
                    state.nodes[name]?.isReady = false
                }
            }
        case 17, 18:
            // A host dies, and another one is put in its place, with its address and a name of its own.
            guard let address = masters.count > 2 ? masters.randomElement(using: &dice) : workers.last else { return }
            world.add(address, hostname: "heir-\(number)")
        case 13, 14: ha.toggle()
        case 15:
            // The master with the registry goes; plugins name it, and a member keeps its name.
            if masters.count > 2, !hasPlugins { masters.removeFirst() }
        case 16:
            guard !hasPlugins else { return }
            let address = "10.0.4.\(number + 1)"
            world.add(address)
            masters.insert(address, at: 0)
        case 11, 12: syncPeriod = Bool.random(using: &dice) ? 10 + number : nil
        case 9, 10: maxPods = Bool.random(using: &dice) ? 50 + number : nil
        case 8: size = Bool.random(using: &dice) ? number : nil
        case 0:
            let address = "10.0.2.\(number + 1)"
            world.add(address)
            workers.append(address)
        case 1: if !workers.isEmpty { workers.removeFirst() }
        case 2: disk = "hdd\(number)"
        case 3: alias = "new\(number).local"
        case 4:
            // Somebody tampers with a host.
            let address = masters[0]
            world.with { state in
                for path in state.machines[address]?.files.keys.sorted().prefix(3) ?? [] where path != "/etc/hosts" {
                    state.machines[address]?.files[path]?.bytes += Data("x".utf8)
                }
            }
        case 5:
            // Somebody stops what runs there.
            let address = workers.first ?? masters[0]
            world.with { state in
                for unit in state.machines[address]?.services.keys.sorted() ?? [] {
                    state.machines[address]?.services[unit]?.isActive = false
                }
                // Its kubelet too, and that has been started since.
                if let node = state.nodes.values.first(where: { $0.address == address }) {
                    state.kubeletStarts[node.name, default: 0] += 100
                }
            }
        case 6:
            for suffix in [1, 2] {
                let address = "10.0.3.\(number * 2 + suffix)"
                world.add(address)
                masters.append(address)
            }
        default:
            // A worker loses its disk.
            guard let address = workers.last else { return }
            world.add(address)
        }
    }
}
