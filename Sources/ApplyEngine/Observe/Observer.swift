import ClusterRuntime
import Clusterfile
import Distribution
import FoundationEssentials
import Infra
import Remote
import Report
import SystemPackage

/// Looks at hosts and cluster, and changes nothing.
struct Observer: Sendable {
    let cluster: String
    let pool: HostPool
    let runtime: any KubernetesRuntime
    let distribution: ImageDistribution
    let progress: any ProgressSink
    /// What it waits by before it tries again to reach a host.
    let clock: any Clock<Duration>
    /// How long the API server may take to answer; with none every master is asked once.
    var patience = Self.answerLimit

    /// How long the API server of a cluster that is there may take to answer: all its masters may just have started.
    static let answerLimit = Duration.seconds(60)
    /// The same where the masters have just been switched on: etcd and the API server start first.
    static let answerLimitAfterStart = Duration.seconds(180)

    /// Looks at all hosts at once, and at the cluster if there is one.
    ///
    /// - Parameter known: hosts that are known not to answer, which are not asked again; all others must answer then. With nil,
    ///   workers that do not answer are noted.
    /// - Throws: a failure that names every host that could not be looked at, when the others cannot go on without one of them.
    func observe(_ places: [HostPlace], unreached known: [UnreachedHost]? = nil) async throws -> ClusterObservation {
        let silent = Set((known ?? []).map(\.host))
        let places = places.filter { !silent.contains($0.name) }
        await pool.set(places)
        let (hosts, unreached) = try await progress.step("look at the hosts") { step in
            let outcomes = try await self.outcomes(places, step) { try await self.lookAgain(at: $0) }
            var (hosts, unreached): ([HostObservation], [UnreachedHost]) = ([], known ?? [])
            for (place, outcome) in zip(places, outcomes) {
                switch outcome.result {
                case .success(let host): hosts.append(host)
                case .failure(let error):
                    guard known == nil, let host = UnreachedHost(place, error) else {
                        throw Self.failure(of: outcomes) ?? error
                    }
                    unreached.append(host)
                }
            }
            return (hosts, unreached)
        }
        return ClusterObservation(hosts: hosts, kubernetes: try await kubernetes(hosts), unreached: unreached)
    }

    /// Looks at what the blueprint says that matters.
    ///
    /// - Parameter mayLose: whether workers that do not answer any more are noted; else one is a failure.
    func complete(
        _ observation: ClusterObservation, for blueprint: ClusterBlueprint, mayLose: Bool
    ) async throws -> ClusterObservation {
        let nodes = Dictionary(blueprint.nodes.map { ($0.host, $0) }) { first, _ in first }
        let seen = try await withThrowingTaskGroup(of: (Int, Look).self) { group in
            for (number, host) in observation.hosts.enumerated() {
                guard let node = nodes[host.host] else { continue }
                group.addTask {
                    do {
                        return (number, .seen(try await inspect(host, for: node)))
                    } catch {
                        guard mayLose, let lost = UnreachedHost(host, error) else { throw error }
                        return (number, .lost(lost))
                    }
                }
            }
            return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
        var complete = observation
        complete.hosts = []
        for (number, host) in observation.hosts.enumerated() {
            switch seen[number] {
            case .seen(let host): complete.hosts.append(host)
            case .lost(let host): complete.unreached.append(host)
            case nil: complete.hosts.append(host)
            }
        }
        return complete
    }

    /// What came of looking at a host.
    private enum Look {
        case seen(HostObservation)
        case lost(UnreachedHost)
    }

    private func inspect(_ seen: HostObservation, for node: NodeBlueprint) async throws -> HostObservation {
        let paths =
            node.paths + (seen.mark?.runtimeFiles.keys.sorted() ?? [])
            + (seen.mark?.kubernetesFiles?.keys.sorted() ?? [])
        return try await pool.withConnection(seen.host) { connection in
            var seen = seen
            seen.files = try await connection.host.inspect(paths.map { .init($0) })
            seen.services = try await connection.host.services(node.services)
            if seen.mark?.membership == .complete {
                seen.kubeletStart = try await runtime.kubeletStart(of: try await self.node(seen))
            }
            return seen
        }
    }

    /// Looks at one host; where it cannot be reached, once more after a moment.
    func lookAgain(at place: HostPlace) async throws -> HostObservation {
        do {
            return try await look(at: place)
        } catch let failure as Failure where failure.kind == .unreachable {
            try await clock.sleep(for: .seconds(2))
            return try await look(at: place)
        }
    }

    /// Looks at one host.
    func look(at place: HostPlace) async throws -> HostObservation {
        try await pool.withConnection(place.name) { try await look(at: place, through: $0) }
    }

    private func look(at place: HostPlace, through connection: ConnectedHost) async throws -> HostObservation {
        let host = connection.host
        let facts = try await host.facts()
        let mark = try await NodeMark.read(from: host)
        let hostsFile = try await host.readFile("/etc/hosts", limit: 1 << 20) ?? Data()
        var seen = HostObservation(
            host: place.name, member: place.member, address: place.address ?? facts.addresses.first ?? "",
            executable: connection.executable, facts: facts, wantedName: mark?.node, mark: mark,
            hostsFile: String(decoding: hostsFile, as: UTF8.self))
        if let mark, mark.cluster != cluster {
            throw Failure(
                .conflict, "the host belongs to the cluster \(mark.cluster) already", at: place.name,
                remedy: "take another host, or, if that cluster is gone, take this one back to what it was: "
                    + place.member.resetCommand(of: place.name))
        }
        seen.missingRootfsBlobs = try await host.missing(distribution.rootfsBlobs).count
        if place.member.isMaster {
            seen.missingImageBlobs = try await distribution.missingOfImage(on: host)
        }
        return seen
    }

    /// Does something for all places at once. One that fails does not stop the others.
    ///
    /// - Throws: `CancellationError` when the task was cancelled, nothing else.
    func outcomes<Value: Sendable>(
        _ places: [HostPlace], _ step: Step, _ body: @escaping @Sendable (HostPlace) async throws -> Value
    ) async throws -> [HostOutcome<Value>] {
        var found: [Int: HostOutcome<Value>] = [:]
        await withTaskGroup(of: (Int, HostOutcome<Value>).self) { group in
            for (number, place) in places.enumerated() {
                group.addTask {
                    do {
                        let value = try await body(place)
                        return (number, HostOutcome(host: place.name, result: .success(value)))
                    } catch {
                        return (number, HostOutcome(host: place.name, result: .failure(error)))
                    }
                }
            }
            for await (number, outcome) in group {
                found[number] = outcome
                step.advance(Int64(found.count), of: Int64(places.count), unit: .items)
            }
        }
        try Task.checkCancellation()
        return places.indices.compactMap { found[$0] }
    }

    /// What failed on hosts, as one failure that names them all; nil when nothing did.
    static func failure<Value: Sendable>(of outcomes: [HostOutcome<Value>]) -> (any Error)? {
        let failures = outcomes.compactMap { $0.failure }
        guard !failures.isEmpty else { return nil }
        return Failure.several("\(failures.count) of \(outcomes.count) hosts are not as they must be", failures)
    }

    /// Asks the masters that are members, one after the other, until one answers.
    private func kubernetes(_ hosts: [HostObservation]) async throws -> KubernetesObservation? {
        let masters = hosts.filter(\.isMasterOfCluster)
        guard !masters.isEmpty else { return nil }
        let end = ContinuousClock.now + patience
        var failures: [any Error] = []
        var unknown: KubernetesObservation?
        while true {
            failures = []
            for master in masters {
                do {
                    let found = try await kubernetes(through: master, of: masters)
                    // One whose node somebody has deleted answers too: it is asked where no other one does.
                    if found.nodes.contains(where: { $0.name == master.nodeName }) { return found }
                    unknown = unknown ?? found
                } catch {
                    try Task.checkCancellation()
                    failures.append(error)
                }
            }
            // Another one may only be starting.
            if let unknown, failures.isEmpty { return unknown }
            guard ContinuousClock.now < end else { break }
            try await Task.sleep(for: .seconds(1))
        }
        if let unknown { return unknown }
        var cut: [HostObservation] = []
        for master in masters {
            do {
                if try await runtime.isCut(try await node(master)) { cut.append(master) }
            } catch {
                try Task.checkCancellation()
                failures.append(error)
            }
        }
        throw Failure(
            .unreachable,
            "the hosts are masters of the cluster, but its API server does not answer on any of them"
                + (patience > .zero ? " after \(patience.inWords)" : ""),
            at: cluster,
            remedy: cut.isEmpty
                ? "see why on a master: journalctl --unit kubelet; crictl ps, or ctr -n k8s.io containers list"
                : "run sealer apply: it begins with giving the control plane back what it had before",
            causes: failures + (cut.isEmpty ? [] : [InterruptedChange(masters: cut)]))
    }

    /// What a master tells that answers, and which of the others do not: the API server of one says nothing of theirs.
    private func kubernetes(
        through master: HostObservation, of masters: [HostObservation]
    ) async throws -> KubernetesObservation {
        let node = try await node(master)
        let (nodes, record) = (try await runtime.nodes(through: node), try await runtime.record(through: node))
        let silent = try await withThrowingTaskGroup(of: String?.self) { group in
            for other in masters where other.host != master.host {
                group.addTask {
                    // One that cannot even be asked keeps nobody from what the others tell.
                    do { return try await runtime.answers(try await self.node(other)) ? nil : other.host } catch {
                        try Task.checkCancellation()
                        return other.host
                    }
                }
            }
            return try await group.reduce(into: Set<String>()) { if let name = $1 { $0.insert(name) } }
        }
        return KubernetesObservation(through: master.host, nodes: nodes, record: record, silentMasters: silent)
    }

    /// Gives masters back what their control planes had before an interrupted change.
    func mend(_ change: InterruptedChange) async throws {
        try await progress.step("bring the control plane back") { step in
            var masters: [ClusterNode] = []
            for master in change.masters { masters.append(try await node(master)) }
            try await runtime.bringBackFormerSettings(of: masters, step: step)
        }
    }

    func node(_ seen: HostObservation) async throws -> ClusterNode {
        ClusterNode(
            host: try await pool.connection(seen.host).host, facts: seen.facts,
            role: seen.member.isMaster ? .master : .node, address: seen.address)
    }
}
