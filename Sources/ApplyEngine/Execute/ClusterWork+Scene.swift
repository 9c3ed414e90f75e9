import ClusterRuntime
import Clusterfile
import Remote
import Report
import Synchronization

/// What steps look up in the scene: the blueprint, the hosts as they were seen, the master to ask.
extension ClusterWork {
    func blueprint() throws -> ClusterBlueprint {
        guard let blueprint = scene.withLock({ $0.blueprint }) else {
            throw Failure(.software, "a step began before anything was looked at", at: source.cluster.name)
        }
        return blueprint
    }

    func node(_ host: String?, _ blueprint: ClusterBlueprint) throws -> NodeBlueprint {
        guard let node = blueprint.nodes.first(where: { $0.host == host }) else {
            throw Failure(.software, "the plan names a host that the blueprint does not have", at: host)
        }
        return node
    }

    /// The address of a node that leaves: the cluster's word, else what was seen of its host.
    func address(ofNode name: String) -> String? {
        scene.withLock { scene in
            scene.observation?.kubernetes?.nodes.first { $0.name == name }?.address
                ?? scene.hosts.values.first { $0.nodeName == name }?.address
        }
    }

    func clusterNode(_ node: NodeBlueprint) async throws -> ClusterNode {
        var found = try await observedNode(node.host)
        found.podNetwork = node.podNetwork
        return found
    }

    /// A host as it was seen, whether it shall be a member or leaves.
    func observedNode(_ name: String) async throws -> ClusterNode {
        let seen = try seen(name)
        var facts = seen.facts
        facts.hostname = seen.nodeName
        return ClusterNode(
            host: try await pool.connection(name).host, facts: facts, role: seen.member.isMaster ? .master : .node,
            address: seen.address)
    }

    /// The environment that the Clusterfile gives scripts on a host besides the whole cluster's.
    func environment(of name: String) throws -> [String: String] { try seen(name).member.environment }

    func seen(_ name: String) throws -> HostObservation {
        guard let seen = scene.withLock({ $0.hosts[name] }) else {
            throw Failure(.software, "nothing is known of the host", at: name)
        }
        return seen
    }

    /// The master that the cluster is asked through.
    var firstName: String { scene.withLock { $0.first } }

    func first() async throws -> ClusterNode { try await clusterNode(try node(firstName, try blueprint())) }
}
