import ClusterRuntime
import Clusterfile
import Diagnostics
import Distribution
import FoundationEssentials
import ImageStore
import Infra
import LinuxSystem
import OCI
import Remote
import Report
import SystemPackage

/// How the engine gets to a host's agent; the tool wires it, tests may put something else there.
public protocol HostConnector: Sendable {
    /// Brings the agent to the host, starts it, and returns the way to it with the path of its binary over there.
    func connect(_ host: ProvisionedHost) async throws -> (host: any Host, executable: String)
}

/// Turns a ClusterImage into a running cluster, and a cluster into nothing.
public struct Engine: Sendable {
    private let store: ImageStore
    private let state: FilePath
    private let infra: any InfraProvider
    private let connector: any HostConnector
    private let makeRuntime: @Sendable (ClusterSettings) throws -> any KubernetesRuntime
    private let progress: any ProgressSink

    /// Makes an engine.
    ///
    /// - Parameters:
    ///   - state: the folder that holds a folder for each cluster.
    ///   - makeRuntime: gives what installs Kubernetes for a cluster's settings.
    public init(
        store: ImageStore, state: FilePath, infra: any InfraProvider, connector: any HostConnector,
        makeRuntime: @escaping @Sendable (ClusterSettings) throws -> any KubernetesRuntime,
        progress: any ProgressSink
    ) {
        self.store = store
        self.state = state
        self.infra = infra
        self.connector = connector
        self.makeRuntime = makeRuntime
        self.progress = progress
    }

    /// A cluster that runs.
    public struct RunningCluster: Sendable {
        /// Its name.
        public var name: String
        /// The administrator's kubeconfig on this machine.
        public var kubeconfig: FilePath
        /// The addresses of the first master and of all nodes, by name.
        public var addresses: [(name: String, address: String)]
    }

    // MARK: - Run

    /// Makes the cluster that a Clusterfile describes.
    ///
    /// - Throws: `Failure` of kind `conflict` when there is a cluster of that name; any other failure names the step and the
    ///   host, and says how to remove what is there.
    public func run(_ cluster: Cluster) async throws -> RunningCluster {
        // Nobody deletes blobs that are still to be sent.
        let session = try await store.session()
        defer { session.end() }
        let image = try await store.clusterImage(cluster.image)
        let settings = try settings(of: cluster, image: image)
        let runtime = try makeRuntime(settings)
        let folder = ClusterFolder(state: state, cluster: cluster.name)
        let lock = try await BlockingPool.shared.run { try folder.lock() }
        defer { lock.release() }
        try await claim(folder, cluster)
        do {
            return try await create(cluster, image: image, settings: settings, runtime: runtime, folder: folder)
        } catch is CancellationError {
            throw Failure(
                .cancelled,
                "interrupted; the cluster \(cluster.name) is half made",
                at: cluster.name,
                remedy: "remove what is there: sealer delete --name \(cluster.name)"
            )
        } catch {
            throw Failure(
                (error as? Failure)?.kind ?? .software,
                "the cluster was not made; what is there of it was left for a look, and the journal is \(folder.journal)",
                at: cluster.name,
                remedy: "remove what is there: sealer delete --name \(cluster.name)",
                causes: [error]
            )
        }
    }

    private func claim(_ folder: ClusterFolder, _ cluster: Cluster) async throws {
        let existing = try await infra.contents(of: cluster.name)
        try await BlockingPool.shared.run {
            guard !folder.exists, existing.isEmpty else {
                throw Failure(
                    .conflict,
                    "there is a cluster of that name already"
                        + (existing.isEmpty ? "" : ": \(existing.joined(separator: ", "))"),
                    at: cluster.name,
                    remedy: "take another --name, or remove it: sealer delete --name \(cluster.name)"
                )
            }
            try folder.make()
            try AtomicFile.write(Array(cluster.text.utf8), to: folder.clusterfile, permissions: .ownerReadWrite)
        }
    }

    private func settings(of cluster: Cluster, image: ClusterImage) throws -> ClusterSettings {
        guard image.sealer.kind == .kubeInstaller, let version = image.labels[LabelKey.runtimeVersion] else {
            throw Failure(
                .invalidInput,
                "the image brings no Kubernetes (it has no label \(LabelKey.runtimeVersion)), so no cluster can be made of it",
                at: cluster.image.familiar,
                remedy: "build it FROM a Kubernetes base image"
            )
        }
        let kubernetes = try KubernetesVersion(parsing: version)
        let repository = kubernetes.defaultImageRepository
        let hasCoreDNS = image.members.contains {
            $0.name.repository.hasPrefix("\(repository)/") && $0.name.path.hasSuffix("coredns")
        }
        let networks = image.labels.keys.filter { $0.hasPrefix(LabelKey.podNetworkPrefix) }
        return ClusterSettings(
            name: cluster.name,
            version: kubernetes,
            podNetwork: cluster.podNetwork,
            serviceNetwork: cluster.serviceNetwork,
            certificateNames: cluster.certificateNames,
            etcdTag: image.onlyMember(of: "\(repository)/etcd")?.tag,
            hasCoreDNS: hasCoreDNS,
            podNetworking: networks.contains(LabelKey.podNetworkPrefix + "bridge") ? .bridge : .fromApplications,
            rootfs: "/var/lib/sealer/data/\(cluster.name)/rootfs",
            environment: cluster.environment
        )
    }

    private func create(
        _ cluster: Cluster,
        image: ClusterImage,
        settings: ClusterSettings,
        runtime: any KubernetesRuntime,
        folder: ClusterFolder
    ) async throws -> RunningCluster {
        let provisioned = try await infra.provision(
            HostsRequest(
                cluster: cluster.name,
                masters: cluster.masters,
                nodes: cluster.nodes,
                image: cluster.nodeImage,
                egress: cluster.egress
            ),
            progress: progress
        )
        let connections = try await connect(provisioned)
        do {
            let nodes = connections.map(\.node)
            guard let first = connections.first(where: { $0.node.role == .master }) else {
                throw Failure(.software, "the hosts were made, but none is a master", at: cluster.name)
            }
            try check(nodes, image: image, settings: settings)
            let certificates = try RegistryCertificates(
                cluster: cluster.name,
                names: [settings.registry.domain, "localhost"],
                addresses: [first.node.address, "127.0.0.1"]
            )
            try await BlockingPool.shared.run {
                try folder.writeSecret(Data(certificates.authority.utf8), "pki/registry-ca.crt")
                try folder.writeSecret(Data(certificates.authorityKey.utf8), "pki/registry-ca.key")
            }
            let creation = ClusterCreation(
                cluster: cluster,
                image: image,
                settings: settings,
                nodes: nodes,
                master: first.node,
                executable: first.executable,
                distribution: ImageDistribution(image, named: cluster.image, from: store),
                runtime: runtime,
                certificates: certificates,
                folder: folder
            )
            let executor = PlanExecutor(progress: progress, journal: FileJournal(folder.journal))
            try await executor.execute(creation.plan())
            await close(connections)
            return RunningCluster(
                name: cluster.name,
                kubeconfig: folder.kubeconfig,
                addresses: nodes.map { ($0.name, $0.address) }
            )
        } catch {
            await close(connections)
            throw error
        }
    }

    private struct Connection: Sendable {
        var node: ClusterNode
        var executable: String
    }

    /// Connects to all hosts at once; every host that cannot be reached is named.
    private func connect(_ hosts: [ProvisionedHost]) async throws -> [Connection] {
        try await progress.step("bring the agent to the hosts") { step in
            var results: [(Int, Result<Connection, any Error>)] = []
            await withTaskGroup(of: (Int, Result<Connection, any Error>).self) { group in
                for (number, host) in hosts.enumerated() {
                    group.addTask {
                        do {
                            return (number, .success(try await connection(to: host)))
                        } catch {
                            return (number, .failure(error))
                        }
                    }
                }
                for await result in group {
                    results.append(result)
                    step.advance(Int64(results.count), of: Int64(hosts.count), unit: .items)
                }
            }
            let ordered = results.sorted { $0.0 < $1.0 }.map(\.1)
            let failures = ordered.compactMap { result -> (any Error)? in
                if case .failure(let error) = result { error } else { nil }
            }
            guard failures.isEmpty else {
                await close(ordered.compactMap { if case .success(let connection) = $0 { connection } else { nil } })
                throw Failure.several("\(failures.count) hosts cannot be reached", failures)
            }
            return try ordered.map { try $0.get() }
        }
    }

    private func connection(to host: ProvisionedHost) async throws -> Connection {
        let (connected, executable) = try await connector.connect(host)
        let facts = try await connected.facts()
        let node = ClusterNode(
            host: connected,
            facts: facts,
            role: host.role == .master ? .master : .node,
            address: host.address
        )
        return Connection(node: node, executable: executable)
    }

    private func close(_ connections: [Connection]) async {
        for connection in connections { await connection.node.host.close() }
    }

    private func check(_ nodes: [ClusterNode], image: ClusterImage, settings: ClusterSettings) throws {
        let subjects = nodes.enumerated().map { number, node in
            Checker.Subject(
                host: node.host.name,
                facts: node.facts,
                isMaster: node.role == .master,
                registryPort: number == 0 ? settings.registry.port : nil
            )
        }
        // A layer is about three times its size when it is unpacked, and lies on the node packed too.
        let needed = image.manifest.layers.reduce(0) { $0 + $1.size } * 4 + 1 << 30
        let findings = Checker().check(subjects, neededDisk: needed, now: Date.now.timeIntervalSince1970)
        for finding in findings where !finding.isFatal { progress.send(.warning(finding.description)) }
        let fatal = findings.filter(\.isFatal)
        guard fatal.isEmpty else {
            throw Failure(.invalidInput, "the hosts are not fit:\n\(fatal.map(\.description).joined(separator: "\n"))")
        }
        for node in nodes where !image.config.platform.runs(on: node.facts.platform) {
            throw Failure(
                .invalidInput,
                "the image is for \(image.config.platform), the host is \(node.facts.platform)",
                at: node.host.name
            )
        }
    }

    // MARK: - Delete

    /// Removes a cluster: its hosts, their networks and volumes, and its folder on this machine.
    ///
    /// - Returns: what was removed, for people.
    /// - Throws: `Failure` of kind `notFound` when there is nothing of that name; a failure that names what is left.
    public func delete(_ name: String) async throws -> [String] {
        let folder = ClusterFolder(state: state, cluster: name)
        let lock = try await BlockingPool.shared.run { try folder.lock() }
        defer { lock.release() }
        let report = try await infra.remove(cluster: name, progress: progress)
        let hadFolder = try await BlockingPool.shared.run {
            let existed = folder.exists
            try folder.delete()
            return existed
        }
        guard hadFolder || !report.removed.isEmpty else {
            throw Failure(
                .notFound, "there is no cluster of that name", at: name,
                remedy: "see what there is with: sealer clusters")
        }
        return report.removed + (hadFolder ? ["folder \(folder.path)"] : [])
    }
}
