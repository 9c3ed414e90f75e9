import ClusterRuntime
import Clusterfile
import FoundationEssentials
import ImageStore
import Infra
import OCI
import Remote
import Report
import SystemPackage

/// How a cluster is: what Kubernetes says of its nodes, what it was made of, and where it has drifted from its Clusterfile.
public struct ClusterStatus: Sendable, Encodable {
    /// A host of the Clusterfile, and what is known of it.
    public struct Node: Sendable, Encodable {
        /// The host, as steps name it.
        public var host: String
        /// The node's name; nil as long as the host is not made.
        public var name: String?
        /// Its roles.
        public var roles: [String]
        /// The address by which the others reach it.
        public var address: String?
        /// `Ready`, or why it is not.
        public var state: String
        /// kubelet's version.
        public var version: String?
    }

    /// A certificate of a master.
    public struct Certificate: Sendable, Encodable {
        /// The host that has it.
        public var host: String
        /// Its path below `/etc/kubernetes/pki`, without the suffix.
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
    /// Whether the API server answers.
    public var isRunning: Bool
    /// The hosts.
    public var nodes: [Node]
    /// The applications that were launched, or would be.
    public var applications: [String]
    /// The masters' certificates, those that end first in front.
    public var certificates: [Certificate]
    /// What `sealer apply` would do, a line for each step; empty when the cluster is what its Clusterfile says.
    public var drift: [String]
}

extension Engine {
    /// Looks at a cluster, and changes nothing.
    public func status(_ cluster: Cluster) async throws -> ClusterStatus {
        let session = try await store.session()
        defer { session.end() }
        return try await withWork(cluster, keep: false) { work, places in
            let plan = try await plan(cluster, work, places)
            let (observation, source) = (work.observation, work.source)
            let launched =
                cluster.applications
                ?? source.image.sealer.launch.map { launch in
                    switch launch {
                    case .app(let name): name
                    case .shell(let text): text
                    }
                }
            return ClusterStatus(
                name: cluster.name, change: try await change(work, places), image: cluster.image.familiar,
                imageDigest: source.image.descriptor.digest.description,
                kubernetes: source.settings.version.description, isRunning: observation?.kubernetes != nil,
                nodes: places.wanted.map { Self.node($0, observation) }, applications: cluster.commands ?? launched,
                certificates: try await certificates(work, observation),
                drift: plan.steps.map(\.summary))
        }
    }

    /// Who holds the cluster's lock, of which the masters are asked one after the other until one knows somebody.
    private func change(_ work: ClusterWork, _ places: Places) async throws -> ClusterStatus.Change? {
        for master in places.masters {
            guard let holder = try await work.pool.connection(master).host.lease(), let owner = holder.owner,
                holder.silent < ClusterLock.staleAfter / .seconds(1)
            else { continue }
            return .init(
                user: owner.user, machine: owner.machine, process: owner.process, command: owner.command,
                age: Int(min(holder.age, 1e9)), silent: Int(min(holder.silent, 1e9)))
        }
        return nil
    }

    private func certificates(_ work: ClusterWork, _ observation: ClusterObservation?) async throws
        -> [ClusterStatus.Certificate]
    {
        var found: [ClusterStatus.Certificate] = []
        let masters = (observation?.hosts ?? []).filter { $0.member.isMaster && $0.mark?.membership == .complete }
        for master in masters {
            let host = try await work.pool.connection(master.host).host
            for name in NodeCertificates.names {
                let path = CertificateFile.kubeadmFolder.appending(FilePath("\(name).crt").components)
                guard let bytes = try await host.readFile(path, limit: 1 << 20) else { continue }
                let expiry = try CertificateExpiry(name: name, pem: bytes)
                found.append(
                    .init(
                        host: master.host, name: name, ends: expiry.notAfter.formatted(Date.ISO8601FormatStyle()),
                        daysLeft: Int((expiry.notAfter.timeIntervalSinceNow / 86400).rounded(.down))))
            }
        }
        return found.sorted { ($0.ends, $0.host, $0.name) < ($1.ends, $1.host, $1.name) }
    }

    private static func node(_ place: HostPlace, _ observation: ClusterObservation?) -> ClusterStatus.Node {
        let seen = observation?.hosts.first { $0.host == place.name }
        let status = observation?.kubernetes?.nodes.first { $0.name == seen?.nodeName }
        let state: String =
            switch (seen, status) {
            case (nil, _): "not there"
            case (_, nil): "no member"
            case (_, let status?): status.isReady ? "Ready" : "not Ready: \(status.reason)"
            }
        return ClusterStatus.Node(
            host: place.name, name: seen?.nodeName, roles: place.member.roles, address: place.address,
            state: state,
            version: status?.version)
    }
}
