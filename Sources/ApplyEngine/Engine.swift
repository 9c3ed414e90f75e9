import ClusterRuntime
import Clusterfile
import Distribution
import FoundationEssentials
import ImageStore
import Infra
import LinuxSystem
import OCI
import Remote
import Report
import SystemPackage

/// Turns a ClusterImage and hosts into a running cluster, and keeps it what its Clusterfile says: looks, plans, executes.
public struct Engine: Sendable {
    let store: ImageStore
    let state: FilePath
    let infra: any InfraProvider
    let connector: any HostConnector
    let makeRuntime: @Sendable (ClusterSettings) throws -> any KubernetesRuntime
    let progress: any ProgressSink
    let clock: any Clock<Duration>
    let rootWords: String

    /// Makes an engine.
    ///
    /// - Parameters:
    ///   - state: the folder that holds a folder for each cluster.
    ///   - makeRuntime: gives what installs Kubernetes for a cluster's settings.
    ///   - clock: what is waited by before a host that was lost, or could not be reached, is tried again.
    ///   - rootWords: the option by which commands that messages name find the state, with a space before it; empty when none is
    ///     needed.
    public init(
        store: ImageStore, state: FilePath, infra: any InfraProvider, connector: any HostConnector,
        makeRuntime: @escaping @Sendable (ClusterSettings) throws -> any KubernetesRuntime,
        progress: any ProgressSink, clock: any Clock<Duration> = ContinuousClock(),
        rootWords: String = ""
    ) {
        self.store = store
        self.state = state
        self.infra = infra
        self.connector = connector
        self.makeRuntime = makeRuntime
        self.progress = progress
        self.clock = clock
        self.rootWords = rootWords
    }

    // MARK: - Plan

    /// Looks at everything and says what would have to be done. Changes nothing.
    public func plan(_ cluster: Cluster) async throws -> Plan {
        let session = try await store.session()
        defer { session.end() }
        return try await withWork(cluster) { work, places in
            try await self.plan(cluster, work, places)
        }
    }

    /// - Parameter unreached: hosts that are known not to answer, which are not asked again; all others must answer then.
    func plan(
        _ cluster: Cluster, _ work: ClusterWork, _ places: Places, unreached: [UnreachedHost]? = nil
    ) async throws -> Plan {
        let image = work.source.image.descriptor.digest
        let missing = places.wanted.filter { $0.transport == nil }
        let names = places.wanted.map { (name: $0.name, isMaster: $0.member.isMaster) }
        let networking = work.source.settings.podNetworking
        let reason = "\(missing.map(\.name).joined(separator: ", ")) \(missing.count == 1 ? "is" : "are") not there"
        guard missing.count < places.wanted.count else {
            try work.source.identity.check()
            var fresh = ClusterDifference.fresh(cluster, hosts: names, podNetworking: networking, reason: reason)
            try addPlugins(to: &fresh, work, places, nil, [])
            return try Planner.plan(cluster: cluster.name, image: image, fresh).made(for: cluster)
        }
        let (blueprint, observation) = try await work.survey(
            places.wanted.filter { $0.transport != nil }, unreached: unreached)
        try ClusterSupport.check(observation, of: cluster, settings: work.source.settings, rootWords: rootWords)
        let (reached, leavingNames) = try await leaving(places, work)
        await work.add(leaving: reached)
        var difference = try blueprint.difference(from: observation, leaving: reached, leavingNames: leavingNames)
        if !missing.isEmpty {
            difference.add(
                fresh: .fresh(cluster, hosts: names, podNetworking: networking, reason: reason),
                order: places.wanted.map(\.name),
                // A container's node has its name.
                registered: Set(observation.kubernetes?.nodes.map(\.name) ?? []))
        }
        try addPlugins(to: &difference, work, places, observation, reached)
        return try Planner.plan(cluster: cluster.name, image: image, difference).made(for: cluster)
    }

    /// The plan, at a second attempt when nobody answered because of what an interrupted command left, and that was mended.
    private func plan(
        _ cluster: Cluster, _ work: ClusterWork, _ places: Places, mend: (InterruptedChange) async throws -> Void
    ) async throws -> Plan {
        do {
            return try await plan(cluster, work, places)
        } catch let failure as Failure {
            guard let interrupted = failure.causes.lazy.compactMap({ $0 as? InterruptedChange }).first else {
                throw failure
            }
            try await mend(interrupted)
            return try await plan(cluster, work, places)
        }
    }

    private func addPlugins(
        to difference: inout ClusterDifference, _ work: ClusterWork, _ places: Places,
        _ observation: ClusterObservation?, _ leaving: [HostObservation]
    ) throws {
        let rules = work.source.plugins
        // What ran once must be settled even when no plugin is left.
        var known: [String: PluginRules.Knowledge] = [:]
        for place in places.wanted + places.leaving { known[place.name] = .init(member: place.member) }
        let statuses = observation?.kubernetes?.nodes ?? []
        let nodes = Dictionary(statuses.map { ($0.name, $0) }) { first, _ in first }
        for host in (observation?.hosts ?? []) + leaving {
            known[host.host]?.mark = host.mark
            known[host.host]?.node = nodes[host.nodeName]
        }
        try rules.add(
            to: &difference, known,
            isFinished: observation?.kubernetes?.record?[ClusterBlueprint.RecordKey.image] != nil,
            launch: try work.source.launchDigest())
    }

    /// Looks at hosts that leave; one that does not answer, not even at a second attempt, is only named: it is given up. One that
    /// another cluster has by now is left to that.
    ///
    /// - Throws: what else is wrong with one: whoever answers can be taken back.
    private func leaving(_ places: Places, _ work: ClusterWork) async throws -> ([HostObservation], Set<String>) {
        var reached: [HostObservation] = []
        await work.pool.set(places.leaving)
        for place in places.leaving where place.transport != nil {
            do {
                reached.append(try await work.observer.lookAgain(at: place))
            } catch let failure as Failure where failure.kind == .conflict {
                progress.send(
                    .warning("\(place.name) leaves the cluster and is left as it is: \(failure.what)"))
            } catch let failure as Failure where !failure.isSilence {
                throw Failure(
                    failure.kind, "the host leaves the cluster, and cannot be taken back to what it was",
                    at: place.name,
                    remedy: "mend that; or give the host up: one that is switched off, or cannot be reached, is",
                    causes: [failure])
            } catch let failure as Failure {
                let remedy =
                    place.member.provider == .container
                    ? "'docker rm --force --volumes \(place.name)' removes it" : "'sealer reset' takes it off"
                progress.send(
                    .warning(
                        "\(place.name) leaves the cluster and does not answer, so what sealer brought stays there until "
                            + "\(remedy), and where it starts again before that, it is a member again: "
                            + Failure.words(of: failure)))
            }
        }
        return (reached, Set(places.leaving.flatMap { [$0.name] + ($0.address.map { [$0] } ?? []) }))
    }

    // MARK: - Apply

    /// Makes a cluster what its Clusterfile says.
    ///
    /// Where an interrupted command left control planes that do not run, it begins with what they had before: without them
    /// there is nobody who could be asked what is to be done.
    ///
    /// - Parameter approve: is shown the plan before any step of it begins, and may refuse by throwing.
    /// - Throws: `Failure` that names each step that failed, and the command that goes on from there. What was done stays done.
    public func apply(
        _ cluster: Cluster, _ options: Options, approve: @Sendable (Plan) async throws -> Void
    ) async throws -> AppliedCluster {
        // Nobody deletes blobs that are still to be sent.
        let session = try await store.session()
        defer { session.end() }
        let folder = ClusterFolder(state: state, cluster: cluster.name)
        let owner = try await LeaseOwner.current("sealer \(options.command)", cluster: cluster.name)
        let lock = try await Failpoint.around("lock \(cluster.name)") {
            try await BlockingPool.shared.run { try folder.lock(owner) }
        }
        defer { lock.release() }
        try await checkClaim(folder, cluster, options)
        // Whoever is off, and could be on, would count as silent; those that leave too, whose votes etcd may need.
        let former = try await BlockingPool.shared.run { try folder.readCluster(folder.members) }
        let wasOff = try await infra.wake(former.map { cluster.joined(with: $0) } ?? cluster, progress: progress)
        let patience = wasOff ? Observer.answerLimitAfterStart : Observer.answerLimit
        return try await withWork(cluster, patience: patience, drain: options.drain) { work, places in
            let change = ClusterLock(purpose: .change, ended: lock.ended)
            let plan = try await self.plan(cluster, work, places) { interrupted in
                try await change.holding(on: places.masters, pool: work.pool, owner: owner, progress: progress) {
                    try await work.mend(interrupted)
                }
            }
            if let expected = options.expected {
                let differences = plan.differences(from: expected)
                guard differences.isEmpty else {
                    throw Failure(
                        .conflict,
                        "the plan is not what has to be done any more:\n\(differences.joined(separator: "\n"))",
                        at: cluster.name, remedy: "make a new one with: sealer plan")
                }
            }
            try await approve(plan)
            if plan.isEmpty {
                try await work.keepIdentity()
                try await claim(folder, cluster)
            } else {
                try await change.holding(
                    on: places.masters, pool: work.pool, owner: owner, progress: progress
                ) {
                    try await work.marks.checkUnchanged(
                        (work.observation?.hosts ?? []).map(\.host), of: cluster.name, pool: work.pool)
                    // Not before nobody else makes the cluster: its authorities would be others.
                    try await work.keepIdentity()
                    try await claim(folder, cluster)
                    try await execute(plan, work, folder, options)
                }
            }
            try await self.settle(folder, cluster)
            do {
                try await Failpoint.around("kubeconfig \(cluster.name)") { try await work.refreshKubeconfig() }
            } catch {
                progress.send(.warning("the kubeconfig could not be fetched: \(Failure.words(of: error))"))
            }
            return AppliedCluster(
                name: cluster.name, kubeconfig: folder.kubeconfig, addresses: work.addresses, plan: plan)
        }
    }

    private func execute(_ plan: Plan, _ work: ClusterWork, _ folder: ClusterFolder, _ options: Options) async throws {
        let journal = FileJournal(folder.journal)
        try await Failpoint.around("journal \(plan.cluster)") {
            try await journal.open(command: options.command, plan: plan)
        }
        let executor = PlanExecutor(
            performer: work, progress: progress, journal: journal, concurrency: options.concurrency,
            pause: options.pause)
        let outcome = await executor.execute(plan)
        let failure = outcome.failure(resume: options.resume)
        let message = failure.map { Failure.words(of: $0) }
        // In a task of its own: this one may be cancelled, and the end must be recorded all the same.
        try await Task {
            try await Failpoint.around("journal end \(plan.cluster)") {
                try await journal.close(done: outcome.done.count, message: message)
            }
        }.value
        guard let failure else { return }
        do {
            // In a task of its own too.
            try await Task { try await note(takenBack: outcome.takenBack(of: plan), folder) }.value
        } catch {
            throw Failure.several("steps failed, and what was taken back could not be noted", [failure, error])
        }
        throw failure
    }

    /// Notes that hosts are not the cluster's any more, although something else failed.
    private func note(takenBack hosts: Set<String>, _ folder: ClusterFolder) async throws {
        guard !hosts.isEmpty else { return }
        try await BlockingPool.shared.run {
            if let members = try folder.readCluster(folder.members) {
                try folder.write(members.without(hosts), to: folder.members)
            }
        }
    }

    private func checkClaim(_ folder: ClusterFolder, _ cluster: Cluster, _ options: Options) async throws {
        let isKnown = try await BlockingPool.shared.run { folder.exists }
        // Docker is asked only where there is something to ask it.
        let mayExist = HostsRequest(cluster) != nil && (!isKnown || options.mustBeNew)
        let existing = mayExist ? try await infra.contents(of: cluster.name) : []
        let words = "--name \(cluster.name)\(rootWords)"
        guard isKnown ? !options.mustBeNew : existing.isEmpty else {
            throw Failure(
                .conflict,
                "there is a cluster of that name already"
                    + (existing.isEmpty ? "" : ": \(existing.joined(separator: ", "))"),
                at: cluster.name,
                remedy: isKnown
                    ? "go on with it: sealer apply \(words); or remove it: sealer delete \(words)"
                    : "take another --name, or remove it: sealer delete \(words)"
            )
        }
    }

    /// Notes what is about to be given to the cluster, before it is touched.
    private func claim(_ folder: ClusterFolder, _ cluster: Cluster) async throws {
        try await Failpoint.around("claim members \(cluster.name)") {
            try await BlockingPool.shared.run {
                try folder.make()
                let before = try folder.readCluster(folder.members)
                try folder.write(before.map { cluster.joined(with: $0) } ?? cluster, to: folder.members)
            }
        }
        try await Failpoint.around("claim \(cluster.name)") {
            try await BlockingPool.shared.run { try folder.write(cluster, to: folder.clusterfile) }
        }
    }

    /// Notes that the hosts are those of the Clusterfile and no others.
    private func settle(_ folder: ClusterFolder, _ cluster: Cluster) async throws {
        try await Failpoint.around("settle \(cluster.name)") {
            try await BlockingPool.shared.run { try folder.write(cluster, to: folder.members) }
        }
    }

    // MARK: - What both need

    /// The hosts of a cluster, and those that leave it.
    struct Places: Sendable {
        var wanted: [HostPlace]
        var leaving: [HostPlace]

        /// The masters that there are already.
        var masters: [String] { wanted.filter { $0.member.isMaster && $0.transport != nil }.map(\.name) }
    }

    /// Gets everything ready that looking at a cluster and changing it need, and ends the connections afterwards.
    ///
    /// - Parameters:
    ///   - patience: how long the API server of a cluster that is there may take to answer.
    ///   - drain: how the pods of nodes that leave are ended.
    func withWork<Result: Sendable>(
        _ cluster: Cluster, patience: Duration = Observer.answerLimit, drain: DrainPolicy = DrainPolicy(),
        _ body: (ClusterWork, Places) async throws -> Result
    ) async throws -> Result {
        let image = try await store.clusterImage(cluster.image)
        try ClusterSupport.check(cluster, image: image)
        var settings = try settings(of: cluster, image: image)
        let inputs = try await RootfsInputs.read(
            cluster, image, rootfs: settings.rootfs, from: RootfsFileCache(state: state, store: store))
        settings.imageDocuments = inputs.kubeadmDocuments
        let folder = ClusterFolder(state: state, cluster: cluster.name)
        let members = try await BlockingPool.shared.run { try folder.readCluster(folder.members) }
        let wanted = try await infra.places(of: cluster)
        let names = Set(wanted.map(\.name))
        let leaving = try await members.asyncMap { try await infra.places(of: $0) }?.filter { !names.contains($0.name) }
        let identity = try await ClusterIdentity.load(cluster, folder)
        let pool = HostPool(connector)
        let work = ClusterWork(
            source: BlueprintSource(
                cluster: cluster, image: image, settings: settings, identity: identity,
                configuration: inputs.configuration, plugins: try PluginRules(cluster.plugins),
                registryHost: cluster.registry.onEveryMaster ? nil : wanted.first { $0.member.isMaster }?.name),
            infra: infra,
            pool: pool, runtime: try makeRuntime(settings),
            distribution: ImageDistribution(image, named: cluster.image, from: store), folder: folder,
            progress: progress, clock: clock, patience: patience, drain: drain)
        do {
            let result = try await body(work, Places(wanted: wanted, leaving: leaving ?? []))
            await pool.close()
            return result
        } catch {
            await pool.close()
            throw error
        }
    }

    package func settings(of cluster: Cluster, image: ClusterImage) throws -> ClusterSettings {
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
        var settings = ClusterSettings(
            name: cluster.name,
            version: kubernetes,
            network: cluster.network,
            certificateNames: cluster.certificateNames,
            etcdTag: image.onlyMember(of: "\(repository)/etcd")?.tag,
            hasCoreDNS: hasCoreDNS,
            podNetworking: networks.contains(LabelKey.podNetworkPrefix + "bridge") ? .bridge : .fromApplications,
            rootfs: "\(cluster.dataRoot)/\(cluster.name)/rootfs",
            registry: RegistryAddress(domain: cluster.registry.domain, port: cluster.registry.port),
            environment: cluster.environment,
            kubeadmDocuments: cluster.kubeadmDocuments
        )
        settings.certificates = cluster.certificates
        return settings
    }
}

extension Optional {
    /// `map` for work that waits.
    func asyncMap<Result>(_ body: (Wrapped) async throws -> Result) async rethrows -> Result? {
        switch self {
        case .some(let value): try await body(value)
        case .none: nil
        }
    }
}
