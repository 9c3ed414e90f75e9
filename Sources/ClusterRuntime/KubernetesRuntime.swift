import FoundationEssentials
import Report

/// Installs Kubernetes on hosts that have a rootfs and a container runtime. kubeadm is the first; others fit beside it.
public protocol KubernetesRuntime: Sendable {
    /// Sets a node's part of the pod network up, if that is the runtime's business and not an application's. `nodes` are all
    /// of the cluster, the same in the same order for every node.
    func connectPods(of node: ClusterNode, among nodes: [ClusterNode]) async throws

    /// Makes the first master.
    func initialise(_ master: ClusterNode, among nodes: [ClusterNode], step: Step) async throws -> JoinTicket

    /// Makes a host a worker of the cluster.
    func join(
        _ node: ClusterNode,
        among nodes: [ClusterNode],
        through master: ClusterNode,
        ticket: JoinTicket,
        step: Step
    ) async throws

    /// Waits until every node is a member and `Ready`; when one does not become so, the failure says why.
    func waitUntilReady(
        _ nodes: [ClusterNode],
        through master: ClusterNode,
        limit: Duration,
        step: Step
    ) async throws -> [NodeStatus]

    /// Waits until every pod of the cluster runs and is ready, or has ended well; else the failure says which is not, and why.
    func waitUntilPodsReady(through master: ClusterNode, limit: Duration, step: Step) async throws -> [PodStatus]

    /// The administrator's kubeconfig, with the master's address as the server's.
    func kubeconfig(of master: ClusterNode) async throws -> Data
}

/// What a node needs to join: secret as long as the token lives, so it has no description.
public struct JoinTicket: Sendable {
    let token: BootstrapToken
    let authorityHash: String
}
