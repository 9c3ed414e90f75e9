import ClusterRuntime
import Clusterfile
import Distribution
import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Remote
import Report
import Synchronization

/// The plan that makes a cluster of hosts that have none: values and handles in, a graph of steps out.
struct ClusterCreation {
    let cluster: Cluster
    let image: ClusterImage
    let settings: ClusterSettings
    /// The first is the first master.
    let nodes: [ClusterNode]
    let master: ClusterNode
    /// Where the sealer binary lies on the first master.
    let executable: String
    let distribution: ImageDistribution
    let runtime: any KubernetesRuntime
    let certificates: RegistryCertificates
    let folder: ClusterFolder

    /// What one step learns and another needs.
    private final class Handover: Sendable {
        let ticket = Mutex<JoinTicket?>(nil)
    }

    /// The folder above the store on the nodes.
    static let nodeRoot = "/var/lib/sealer"

    func plan() throws -> Plan {
        let handover = Handover()
        let steps =
            registrySteps() + nodes.flatMap { distributionSteps($0) } + nodes.flatMap { preparationSteps($0) }
            + membershipSteps(handover) + closingSteps()
        return try Plan(steps)
    }

    private func isFirst(_ node: ClusterNode) -> Bool { node.name == master.name }

    // MARK: - The first master's store and registry

    private func registrySteps() -> [PlanStep] {
        let preparation = NodePreparation(settings)
        let registry = RegistryService(settings.registry)
        var steps = [
            PlanStep("send-rootfs", "send the rootfs", host: master.name, limit: .seconds(1800)) { step in
                try await distribution.sendRootfs(to: master.host, step: step)
            },
            PlanStep(
                "send-images", "send the container images", host: master.name, after: ["send-rootfs"],
                limit: .seconds(7200)
            ) { step in
                try await distribution.sendAll(to: master.host, step: step)
            },
        ]
        steps += nodes.map { node in
            PlanStep("hosts/\(node.name)", "name the registry and the API server", host: node.name, limit: .seconds(60))
            { _ in
                try await preparation.writeHosts(on: node, firstMaster: master)
                try await preparation.writeRegistryHosts(on: node, authority: certificates.authority)
            }
        }
        steps.append(
            PlanStep(
                "registry", "start the registry of the cluster", host: master.name, after: ["send-rootfs"],
                limit: .seconds(120)
            ) { _ in
                try await registry.install(
                    on: master,
                    executable: executable,
                    root: Self.nodeRoot,
                    certificates: certificates
                )
            }
        )
        return steps
    }

    // MARK: - Every node

    private func distributionSteps(_ node: ClusterNode) -> [PlanStep] {
        var source = "send-rootfs"
        var steps: [PlanStep] = []
        if !isFirst(node) {
            source = "fetch/\(node.name)"
            steps.append(
                PlanStep(
                    source, "fetch the rootfs from the registry", host: node.name,
                    // The registry serves what has a name: the whole image must have arrived.
                    after: ["registry", "send-images", "hosts/\(node.name)"], limit: .seconds(1800)
                ) { step in
                    try await distribution.fetchRootfs(
                        on: node.host,
                        registry: settings.registry.url,
                        authority: certificates.authority,
                        step: step
                    )
                }
            )
        }
        steps.append(
            PlanStep("unpack/\(node.name)", "unpack the rootfs", host: node.name, after: [source], limit: .seconds(900))
            {
                step in
                try await distribution.unpackRootfs(on: node.host, to: settings.rootfs, step: step)
            }
        )
        return steps
    }

    private func preparationSteps(_ node: ClusterNode) -> [PlanStep] {
        let preparation = NodePreparation(settings)
        return [
            PlanStep(
                "runtime/\(node.name)", "install the container runtime and kubelet", host: node.name,
                after: ["unpack/\(node.name)", "hosts/\(node.name)"], limit: .seconds(600)
            ) { step in
                try await preparation.installRuntime(on: node, step: step)
            },
            PlanStep(
                "network/\(node.name)", "connect the pods", host: node.name, after: ["runtime/\(node.name)"],
                limit: .seconds(120)
            ) { _ in
                try await runtime.connectPods(of: node, among: nodes)
            },
        ]
    }

    // MARK: - The cluster

    private func membershipSteps(_ handover: Handover) -> [PlanStep] {
        var steps = [
            PlanStep(
                "init", "start the control plane", host: master.name,
                after: ["network/\(master.name)", "registry", "send-images"], limit: .seconds(480)
            ) { step in
                let ticket = try await runtime.initialise(master, among: nodes, step: step)
                handover.ticket.withLock { $0 = ticket }
                try await BlockingPool.shared.run { [kubeconfig = try await runtime.kubeconfig(of: master)] in
                    try folder.writeSecret(kubeconfig, "kubeconfig")
                }
            }
        ]
        steps += nodes.filter { $0.role == .node }.map { node in
            PlanStep(
                "join/\(node.name)", "join the cluster", host: node.name, after: ["init", "network/\(node.name)"],
                limit: .seconds(420)
            ) { step in
                guard let ticket = handover.ticket.withLock({ $0 }) else {
                    throw Failure(.software, "the control plane started, but left no ticket to join with")
                }
                try await runtime.join(node, among: nodes, through: master, ticket: ticket, step: step)
            }
        }
        return steps
    }

    private func closingSteps() -> [PlanStep] {
        let joins = nodes.filter { $0.role == .node }.map { "join/\($0.name)" }
        let waitForNodes = { @Sendable (id: String, after: [String]) in
            PlanStep(id, "wait until every node is Ready", after: after, limit: .seconds(330)) { step in
                _ = try await runtime.waitUntilReady(nodes, through: master, limit: .seconds(300), step: step)
            }
        }
        let launch = { @Sendable (after: [String]) in
            PlanStep("launch", "launch the applications", host: master.name, after: after, limit: .seconds(3600)) {
                step in
                let environment = settings.environment
                try await ApplicationLaunch(image.sealer, rootfs: settings.rootfs, environment: environment)
                    .run(on: master.host, step: step)
            }
        }
        let members = ["init"] + joins
        // Without a network of sealer's own the nodes become Ready only through an application that brings one.
        let steps =
            settings.podNetworking == .bridge
            ? [waitForNodes("ready", members), launch(["ready"])]
            : [launch(members), waitForNodes("ready", ["launch"])]
        return steps + [
            PlanStep("pods", "wait until every pod is ready", after: steps.map(\.id), limit: .seconds(630)) { step in
                _ = try await runtime.waitUntilPodsReady(through: master, limit: .seconds(600), step: step)
            }
        ]
    }
}
